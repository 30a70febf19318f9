# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are trained together, looked at before their stage."""
from typing import Dict, Optional, Sequence, Tuple

import torch
from mmrazor.models.task_modules import ModuleOutputsRecorder
from torch import nn

from mmdgkd.errors import ConfigError
from .mutual_networks import MutualNetworks
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.chain.chain import Network


def mutual_networks(
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """The networks that are trained together, as plain networks.

    Args:
        model (nn.Module): Its model.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: The peers, and last the network that has their file;
        that alone if it is given; none if it is trained by itself.
    """
    if not isinstance(model, MutualNetworks):
        return ()
    if weights is not None:
        return (model.architecture, )
    return (*model.peers.values(), model.architecture)


def check_mutual(network: Network, model: nn.Module,
                 algorithms: Sequence[nn.Module]) -> None:
    """See what does not go with several networks in a step.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        algorithms (Sequence[nn.Module]): Its stage, as one of each of them.

    Raises:
        ConfigError: For guidance that one of them would have to itself.
    """
    if not (isinstance(model, MutualNetworks)
            and isinstance(algorithms[0], DGKD)):
        return
    here = f'chain.networks.{network.name}'
    distiller = algorithms[0].distiller
    if distiller.deliveries.deliveries:
        raise ConfigError(
            f'model.distiller.distill_deliveries: {here} trains several '
            'networks in a step, and a delivery is for one run; leave it out')
    for part in ('connectors', 'distill_losses'):
        for name, module in getattr(distiller, part).items():
            if module.state_dict():
                raise ConfigError(
                    f'model.distiller.{part}.{name}: learns, and {here} '
                    'trains several networks, each of which would need its '
                    'own; use losses without, such as those on logits')
    for name, recorder in distiller.student_recorders.recorders.items():
        if not isinstance(recorder, ModuleOutputsRecorder):
            raise ConfigError(
                f'model.distiller.student_recorders.{name}: {here} trains '
                'several networks, of which modules can be recorded; use '
                "type='mmrazor.ModuleOutputs' or 'mmrazor.ModuleInputs'")
