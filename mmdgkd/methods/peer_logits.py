# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are trained, and distilled from each other, in one step."""
from typing import Callable, Dict, List, Optional

import torch
from mmengine.structures import BaseDataElement

from mmdgkd.errors import ConfigError


class OverNetworks:
    """A mixin of algorithms that train several networks in a step.

    :class:`DGKD` finds such a student by its ``over_networks``, a function of
    ``losses_of``, which returns the losses of one network.
    """

    def loss(
        self,
        batch_inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None,
    ) -> Dict[str, torch.Tensor]:
        """The losses of all networks, see ``over_networks``.

        Args:
            batch_inputs (torch.Tensor): A preprocessed batch, shape
                (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
        """
        return self.over_networks(
            lambda network: network(batch_inputs, data_samples, mode='loss'))


def check_peer_loss(loss: Callable, key: str, several: bool = True) -> None:
    """Check that a loss takes the logits of a network and of others.

    Args:
        loss (Callable): The loss.
        key (str): Its config key.
        several (bool): Whether those of the others are a dict of tensors, and
            not one tensor. Defaults to True.

    Raises:
        ConfigError: If it does not.
    """
    logits = torch.zeros(2, 3)
    try:
        with torch.no_grad():
            other = logits.clone()
            loss(logits, {'1.0': other} if several else other)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        others, better = (('a dict of those of the others',
                           'DenseKDLoss') if several else
                          ('those of its teacher', 'CosineLoss'))
        raise ConfigError(
            f'{key}.type: {type(loss).__name__} does not take the logits of '
            f'a network and {others}; use {better}, or another loss that does'
        ) from None
