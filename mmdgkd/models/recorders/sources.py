# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checks of the sources of recorders."""
from difflib import get_close_matches
from typing import Iterable, List

from mmrazor.models.task_modules import (ModuleOutputsRecorder,
                                         ParameterRecorder)
from torch import nn
from torch.fx import GraphModule

from mmdgkd.errors import ConfigError


def refuse_source(source: str,
                  model: nn.Module,
                  names: Iterable[str],
                  owner: str,
                  front: str = '',
                  what: str = 'module') -> ConfigError:
    """The error for a source that is not in a network.

    Args:
        source (str): As in the config.
        model (nn.Module): The network.
        names (Iterable[str]): The possible sources.
        owner (str): The network in messages, such as ``'teacher "resnet20"'``.
        front (str): The prefix of the names in a source. Defaults to ''.
        what (str): The kind of source. Defaults to ``'module'``.

    Returns:
        ConfigError: Its message begins with ``source``, the last part of the
        config key.
    """
    close = get_close_matches(source[len(front):], [*names], n=3, cutoff=0.5)
    if close:
        hint = 'similar: ' + ', '.join(f'{front}{name}' for name in close)
    else:
        parts = ', '.join(key for key, _ in model.named_children())
        hint = f'its parts: {parts or "none"}'
    return ConfigError(f'source: "{source}" is no {what} of {owner}; {hint}')


def recordable(model: nn.Module) -> List[str]:
    """Names of the modules whose outputs a recorder would get.

    A traced graph, such as that of a quantized network, calls no containers:
    of them nothing would be recorded.

    Args:
        model (nn.Module): A network, or several by name.
    """
    unused = set()
    for path, graph in model.named_modules():
        if isinstance(graph, GraphModule):
            called = {
                node.target
                for node in graph.graph.nodes if node.op == 'call_module'
            }
            unused |= {
                f'{path}.{name}'.strip('.')
                for name, _ in graph.named_modules() if name not in called
            }
    return [name for name, _ in model.named_modules() if name not in unused]


def check_stock_source(recorder: object, model: nn.Module, owner: str) -> None:
    """Check that the source of one of MMRazor's recorders exists.

    Args:
        recorder (BaseRecorder): Those of functions and methods are not
            checked.
        model (nn.Module): The student, or a ``ModuleDict`` of the teachers by
            name.
        owner (str): Its name in messages.

    Raises:
        ConfigError: If it does not exist. The message begins with ``source``.
    """
    if isinstance(recorder, ModuleOutputsRecorder):
        what = 'module'
    elif isinstance(recorder, ParameterRecorder):
        what = 'parameter'
    else:
        return

    def names(network: nn.Module) -> List[str]:
        if what == 'module':
            return recordable(network)
        return [name for name, _ in network.named_parameters()]

    source, front = recorder.source, ''
    if source in names(model):
        return
    if isinstance(model, nn.ModuleDict):
        name = source.split('.')[0]
        if name not in model:
            raise ConfigError(
                f'source: "{source}" begins with none of the teachers '
                f'{", ".join(model)}; put the name of one in front, such as '
                f'"{next(iter(model))}.{source}", or use '
                "type='mmrazor.MultiTeacherOutputs' for all of them")
        model, owner, front = model[name], f'teacher "{name}"', f'{name}.'
    raise refuse_source(source, model, names(model), owner, front, what)
