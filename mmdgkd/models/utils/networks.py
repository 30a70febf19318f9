# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The network within an algorithm: a student may be pruned or quantized.

Four functions depend on the class of the algorithm, on which they dispatch; a
method registers its own in its folder.
"""
import copy
from functools import singledispatch
from typing import Any, Mapping, Optional, Tuple

from mmengine.model import is_model_wrapper
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.mutators import ChannelMutator
from mmrazor.structures import export_fix_subnet
from torch import nn

from mmdgkd.errors import ConfigError


@singledispatch
def running_form(algorithm: nn.Module, mode: str) -> nn.Module:
    """The part of an algorithm that runs in a mode, by default its network.

    Args:
        algorithm (nn.Module): The algorithm, dispatched on its class.
        mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
    """
    return algorithm.architecture


@singledispatch
def static_form(algorithm: nn.Module) -> nn.Module:
    """The network of an algorithm without choices and masks.

    By default the network itself or, where MMRazor's mutator prunes channels,
    a copy with those that are left.

    Args:
        algorithm (nn.Module): The algorithm, dispatched on its class.
    """
    if isinstance(getattr(algorithm, 'mutator', None), ChannelMutator):
        algorithm = export_fix_subnet(
            algorithm, export_subnet_mode='mutator', slice_weight=True)[1]
    return algorithm.architecture


@singledispatch
def teaches_as_is(algorithm: nn.Module) -> bool:
    """Whether the algorithm itself is the teacher, not its static network.

    Args:
        algorithm (nn.Module): The algorithm, dispatched on its class.
    """
    return False


@singledispatch
def hold(algorithm: nn.Module) -> None:
    """Stop an algorithm from pruning its network further.

    Args:
        algorithm (nn.Module): The algorithm, dispatched on its class.
    """


def unwrapped(model: nn.Module) -> nn.Module:
    """A model without its wrapper for several processes.

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
    """The modules that run in a mode, for recorders.

    Args:
        model (nn.Module): A network, or an algorithm around it.
        mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
    """
    while isinstance(model, BaseAlgorithm):
        model = running_form(model, mode)
    return model


def network_cfg(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """:func:`network_of` for configs.

    Args:
        model (Mapping): The config of a network or of an algorithm.
    """
    while isinstance(model.get('architecture'), Mapping):
        model = model['architecture']
    return model


def hold_structure(model: nn.Module) -> None:
    """Stop all pruning of a network: its masks stay as they are.

    Args:
        model (nn.Module): A network, or an algorithm around it.
    """
    for module in model.modules():
        hold(module)


def teaching_network(model: nn.Module) -> nn.Module:
    """The form of a network as a teacher: without choices and masks.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.

    Returns:
        nn.Module: Its static network, or the model itself, if that is a plain
        network or :func:`teaches_as_is`.
    """
    inner = model
    while isinstance(inner, BaseAlgorithm):
        if teaches_as_is(inner):
            return model
        inner = inner.architecture
    return static_network(model) if inner is not model else model


def static_network(model: nn.Module) -> nn.Module:
    """The network alone, with the channels and blocks that are left.

    Args:
        model (nn.Module): A network, or an algorithm of MMRazor around it.

    Returns:
        nn.Module: A copy in eval mode, without MMRazor's dynamic modules.
    """
    while isinstance(model, BaseAlgorithm):
        model = static_form(model)
    return copy.deepcopy(model).eval()


def compile_network(network: nn.Module,
                    key: str,
                    mode: Optional[str] = None) -> None:
    """Run the backbone and the neck of a classifier by ``torch.compile``.

    In place, so that the names of the weights stay. The head is left as it is:
    it is small, and recorders look into it. Each size of a batch has a program
    of its own: one for all sizes, which PyTorch makes after the second size,
    would give other bits than those of a resumed run.

    Args:
        network (nn.Module): An MMPretrain classifier.
        key (str): Its config key, for the message.
        mode (str, optional): That of ``torch.compile``. Defaults to None.

    Raises:
        ConfigError: If it has no backbone.
    """
    backbone = getattr(network, 'backbone', None)
    if not isinstance(backbone, nn.Module):
        raise ConfigError(f'{key}: {type(network).__name__} has no backbone '
                          'that could be compiled; set compile=False')
    backbone.compile(mode=mode, dynamic=False)
    if isinstance(getattr(network, 'neck', None), nn.Module):
        network.neck.compile(mode=mode, dynamic=False)
