# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of several widths, looked at before their stage."""
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.errors import ConfigError
from .joint_slimmable import JointSlimmable
from mmdgkd.models.utils.networks import static_network
from mmdgkd.chain.chain import Network
from mmdgkd.methods.stage_options import refuse_fixed_graphs


def slimmable_networks(
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """The widths of a network, as plain networks.

    Args:
        model (nn.Module): Its model.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: From the narrowest to the widest; that alone if it is
        given, or one width; none if it has no widths.
    """
    if not isinstance(model, JointSlimmable):
        return ()
    if model.is_deployed or weights is not None:
        return (static_network(model), )
    found = []
    for name in reversed(model.width_names):
        model.take(name)
        found.append(static_network(model))
    return tuple(found)


def check_slimmable(network: Network, model: nn.Module, stage: Config) -> None:
    """See what does not go with several widths in a step.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.

    Raises:
        ConfigError: For an option that does not.
    """
    if not isinstance(model, JointSlimmable):
        return
    here = f'chain.networks.{network.name}'
    if stage.get('sync_bn'):
        raise ConfigError(f'sync_bn: {here}.model: would replace the batch '
                          'normalization of its widths; leave it out')
    refuse_fixed_graphs(stage, f'{here} takes all its widths in each step')
    distiller = stage.model.get('distiller') or {}
    if distiller.get('distill_deliveries'):
        raise ConfigError(
            f'model.distiller.distill_deliveries: {here} runs once for each '
            'width, and a delivery is for one run; leave it out')
