# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The network inside of an algorithm: a student may be pruned or quantized.

What differs from algorithm to algorithm are four functions, each dispatched
on the class of the algorithm; a method registers its own in its folder.
"""
import copy
from functools import singledispatch
from typing import Any, Mapping, Tuple

from mmengine.model import is_model_wrapper
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.mutators import ChannelMutator
from mmrazor.structures import export_fix_subnet
from torch import nn


@singledispatch
def running_form(algorithm: nn.Module, mode: str) -> nn.Module:
    """The part of an algorithm that runs in a mode, by default its network.

    Args:
        algorithm (nn.Module): The algorithm, by whose class it is dispatched.
        mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
    """
    return algorithm.architecture


@singledispatch
def static_form(algorithm: nn.Module) -> nn.Module:
    """The network of an algorithm without what can be chosen or masked.

    By default the network as it is, or where MMRazor's mutator takes channels
    away, a copy with those that are left.

    Args:
        algorithm (nn.Module): The algorithm, by whose class it is dispatched.
    """
    if isinstance(getattr(algorithm, 'mutator', None), ChannelMutator):
        algorithm = export_fix_subnet(
            algorithm, export_subnet_mode='mutator', slice_weight=True)[1]
    return algorithm.architecture


@singledispatch
def teaches_as_is(algorithm: nn.Module) -> bool:
    """Whether an algorithm teaches as it is, and not as its static network.

    Args:
        algorithm (nn.Module): The algorithm, by whose class it is dispatched.
    """
    return False


@singledispatch
def hold(algorithm: nn.Module) -> None:
    """Have an algorithm take nothing more away from its network.

    Args:
        algorithm (nn.Module): The algorithm, by whose class it is dispatched.
    """


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

    Args:
        model (nn.Module): A network, or an algorithm around it.
        mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
    """
    while isinstance(model, BaseAlgorithm):
        model = running_form(model, mode)
    return model


def network_cfg(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same for the configs of these.

    Args:
        model (Mapping): The config of a network or of an algorithm.
    """
    while isinstance(model.get('architecture'), Mapping):
        model = model['architecture']
    return model


def hold_structure(model: nn.Module) -> None:
    """Have a network lose nothing more: its masks stay as they are.

    Args:
        model (nn.Module): A network, or an algorithm around it.
    """
    for module in model.modules():
        hold(module)


def teaching_network(model: nn.Module) -> nn.Module:
    """The form of a network in which it teaches: nothing masked or chosen.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.

    Returns:
        nn.Module: What is left of it; itself, if nothing was taken from it or
        if it teaches as it is.
    """
    inner = model
    while isinstance(inner, BaseAlgorithm):
        if teaches_as_is(inner):
            return model
        inner = inner.architecture
    return static_network(model) if inner is not model else model


def static_network(model: nn.Module) -> nn.Module:
    """The network alone, with the channels and blocks that are left of it.

    Args:
        model (nn.Module): A network, or an algorithm of MMRazor around it.

    Returns:
        nn.Module: A copy in eval mode, without MMRazor's dynamic modules.
    """
    while isinstance(model, BaseAlgorithm):
        model = static_form(model)
    return copy.deepcopy(model).eval()
