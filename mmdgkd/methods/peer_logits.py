# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What networks in training say, to be heard by others of the same step."""
import contextlib
from typing import Callable, Dict, Iterator

import torch
from torch import nn

from mmdgkd.errors import ConfigError


@contextlib.contextmanager
def record_logits(source: nn.Module, name: str,
                  said: Dict[str, torch.Tensor]) -> Iterator[None]:
    """Write down what a module puts out.

    Args:
        source (nn.Module): The module.
        name (str): Under which name.
        said (dict[str, torch.Tensor]): Where; it is added to.
    """
    handle = source.register_forward_hook(
        lambda module, inputs, outputs: said.update({name: outputs}))
    try:
        yield
    finally:
        handle.remove()


def check_peer_loss(loss: Callable, key: str, several: bool = True) -> None:
    """See whether a loss takes the logits of a network and of others.

    Args:
        loss (Callable): The loss.
        key (str): Its config key, for the message.
        several (bool): Whether those of the others are a dict of them, and
            not of one other. Defaults to True.

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
