# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The network inside of an algorithm: a student may be pruned or quantized."""
import copy
from typing import Any, Mapping, Tuple

from mmengine.model import is_model_wrapper
from mmrazor.models.algorithms import (SPOS, BaseAlgorithm, ItePruneAlgorithm,
                                       MMArchitectureQuant)
from mmrazor.models.mutators import ChannelMutator
from mmrazor.structures import export_fix_subnet
from torch import nn

from mmdgkd.methods.qat.fixed_graph import fixed_graph


def unwrapped(model: nn.Module) -> nn.Module:
    """A model without what wraps it for several processes.

    Args:
        model (nn.Module): Such as ``runner.model``.
    """
    return model.module if is_model_wrapper(model) else model


def network_of(model: nn.Module) -> nn.Module:
    """The network that an MMRazor algorithm trains, or the model itself.

    Args:
        model (nn.Module): A network, or an algorithm, perhaps of algorithms.
    """
    while isinstance(model, BaseAlgorithm):
        model = model.architecture
    return model


def peers_of(model: nn.Module) -> Tuple[nn.Module, ...]:
    """The other networks that are trained with :func:`network_of`.

    Args:
        model (nn.Module): A network, or an algorithm, perhaps of algorithms.
    """
    while isinstance(model, BaseAlgorithm):
        if hasattr(model, 'peers'):
            return tuple(model.peers.values())
        model = model.architecture
    return ()


def running_network(model: nn.Module, mode: str) -> nn.Module:
    """The modules that run in a mode, so that they can be recorded.

    Of a quantized network that is a graph of its own for each mode.

    Args:
        model (nn.Module): A network, or an algorithm around it.
        mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
    """
    while isinstance(model, BaseAlgorithm):
        if isinstance(model, MMArchitectureQuant) and mode in model.qmodels:
            return model.qmodels[mode]
        model = model.architecture
    return model


def network_cfg(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same for the configs of these.

    Args:
        model (Mapping): The config of a network or of an algorithm.
    """
    while isinstance(model.get('architecture'), Mapping):
        model = model['architecture']
    return model


def hold_pruning(model: nn.Module) -> None:
    """Have an algorithm prune nothing more: its masks stay as they are.

    Args:
        model (nn.Module): It, or an algorithm around it.
    """
    for module in model.modules():
        if isinstance(module, ItePruneAlgorithm):
            module.prune_config_manager = _NoPruning()


class _NoPruning:
    """In place of MMRazor's schedule."""

    def is_prune_time(self, iteration: int) -> bool:
        return False


def guiding_network(model: nn.Module) -> nn.Module:
    """What a network does to guide others: nothing is masked or chosen.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.

    Returns:
        nn.Module: What is left of it; itself, if nothing was taken from it or
        if it is quantized, whose levels are those of its own graphs.
    """
    quantized = any(
        isinstance(module, MMArchitectureQuant) for module in model.modules())
    if quantized or not isinstance(model, BaseAlgorithm):
        return model
    return static_network(model)


def static_network(model: nn.Module) -> nn.Module:
    """The network alone, with the channels and blocks that are left of it.

    Args:
        model (nn.Module): A network, or an algorithm of MMRazor around it.

    Returns:
        nn.Module: A copy in eval mode, without MMRazor's dynamic modules.
    """
    while isinstance(model, BaseAlgorithm):
        if isinstance(model, MMArchitectureQuant):
            return fixed_graph(model)
        fixed_network = getattr(model, 'fixed_network', None)
        if fixed_network is not None:
            # Of few levels, see FewBitNetwork.
            return fixed_network()
        mutator = getattr(model, 'mutator', None)
        if isinstance(mutator, ChannelMutator):
            model = export_fix_subnet(
                model, export_subnet_mode='mutator', slice_weight=True)[1]
        elif isinstance(model, SPOS):
            model = export_fix_subnet(model, slice_weight=True)[1]
        model = model.architecture
    return copy.deepcopy(model).eval()
