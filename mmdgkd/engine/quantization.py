# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are quantized in their stage, looked at before it."""
from typing import Optional

from mmrazor.models.algorithms import MMArchitectureQuant
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models import DGKD
from mmdgkd.models.utils import network_of, running_network


def float_network(model: nn.Module) -> Optional[nn.Module]:
    """What a quantized network is without its quantizers.

    Args:
        model (nn.Module): A model of the chain.

    Returns:
        nn.Module, optional: The network inside; None if it is not quantized.
    """
    if not isinstance(model, MMArchitectureQuant):
        return None
    return network_of(model)


def check_recorders(name: str, model: nn.Module, algorithm: nn.Module) -> None:
    """See whether what is recorded of a quantized student ever runs.

    Its graph calls the modules that compute, but none that only hold others.

    Args:
        name (str): The stage.
        model (nn.Module): The model of its network.
        algorithm (nn.Module): The stage, with the network in float.

    Raises:
        ConfigError: If a recorder would hear nothing.
    """
    if not (isinstance(model, MMArchitectureQuant)
            and isinstance(algorithm, DGKD)):
        return
    called = {
        node.target
        for node in running_network(model, 'loss').graph.nodes
        if node.op == 'call_module'
    }
    recorders = algorithm.distiller.student_recorders.recorders
    for key, recorder in recorders.items():
        if recorder.source not in called:
            raise ConfigError(
                f'model.distiller.student_recorders.{key}.source: for the '
                f'stage "{name}": "{recorder.source}" is not called in the '
                'graph of the quantized network; use a module that computes, '
                'such as "head.fc"')
