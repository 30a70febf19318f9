# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checks of the sources of recorders."""
from difflib import get_close_matches
from functools import partial
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence

from mmrazor.models.task_modules import (ModuleOutputsRecorder,
                                         ParameterRecorder)
from torch import nn
from torch.fx import GraphModule

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.logits import (LOGITS, class_hint, find_source,
                                        is_found)

# In a mapping of sources by network: that of the networks it does not name.
DEFAULT = 'default'


def refuse_source(source: str,
                  model: nn.Module,
                  names: Iterable[str],
                  owner: str,
                  front: str = '',
                  what: str = 'module',
                  key: str = 'source') -> ConfigError:
    """The error for a source that is not in a network.

    Args:
        source (str): As in the config.
        model (nn.Module): The network.
        names (Iterable[str]): The possible sources.
        owner (str): The network in messages, such as ``'teacher "resnet20"'``.
        front (str): The prefix of the names in a source. Defaults to ''.
        what (str): The kind of source. Defaults to ``'module'``.
        key (str): The last part of the config key. Defaults to ``'source'``.

    Returns:
        ConfigError: Its message begins with the key.
    """
    close = get_close_matches(
        str(source)[len(front):], [*names], n=3, cutoff=0.5)
    if close:
        hint = 'similar: ' + ', '.join(f'{front}{name}' for name in close)
    else:
        parts = ', '.join(key for key, _ in model.named_children())
        hint = f'its parts: {parts or "none"}'
    if what == 'module':
        hint += class_hint(model, front)
    return ConfigError(f'{key}: "{source}" is no {what} of {owner}; {hint}')


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


def source_for(source: Any, name: Optional[str]) -> Any:
    """The source of a network, where it may be a mapping by network.

    Args:
        source (Any): As in the config of a recorder.
        name (str, optional): The network.
    """
    if isinstance(source, Mapping):
        return source.get(name, source.get(DEFAULT, LOGITS))
    return source


def check_source_names(source: Mapping[str, Any],
                       names: Sequence[str],
                       key: str = 'source') -> None:
    """Check a mapping of sources by network.

    Args:
        source (Mapping): By network, or :data:`DEFAULT`, its source.
        names (Sequence[str]): The networks.
        key (str): Its config key. Defaults to ``'source'``.

    Raises:
        ConfigError: If it names another one, or has something else than a
            name.
    """
    for name, module in source.items():
        if name not in (DEFAULT, *names):
            close = get_close_matches(str(name), names, n=1)
            raise ConfigError(
                f'{key}.{name}: there is no such network; there are '
                f'{", ".join(names)}, and "{DEFAULT}" for all others' +
                (f'; is {close[0]} meant?' if close else ''))
        if not isinstance(module, str):
            raise ConfigError(f'{key}.{name}: {module!r} must be the name of '
                              "a module, or 'logits'")


def initialize_stock(recorder: object, model: nn.Module, owner: str) -> None:
    """Hook one of MMRazor's recorders, which may record logits.

    Args:
        recorder (BaseRecorder): The recorder. A ``ModuleOutputs`` with the
            source ``'logits'`` records the class scores, whatever computes
            them.
        model (nn.Module): The student, or a ``ModuleDict`` of the teachers by
            name.
        owner (str): Its name in messages.

    Raises:
        ConfigError: If the source does not exist. The message begins with
            ``source``.
    """
    source: Any = getattr(recorder, 'source', None)
    if isinstance(source, Mapping):
        raise ConfigError(
            'source: is by network, which is for the stages of a chain and '
            "for type='mmrazor.MultiTeacherOutputs'; name one module")
    network: Optional[nn.Module] = model
    mode = 'loss'
    if isinstance(model, nn.ModuleDict):
        name, _, source = str(source).partition('.')
        network, mode = dict(model.items()).get(name), 'tensor'
    # No subclass: it records something else of a module.
    if (type(recorder) is not ModuleOutputsRecorder or network is None
            or not is_found(network, source)):
        check_stock_source(recorder, model, owner)
        recorder.initialize(model)
        return
    module, read = find_source(
        network, source, mode,
        f'teacher "{name}"' if mode == 'tensor' else owner)
    # Not a closure: in a copy of the model it belongs to the copied recorder.
    module.register_forward_hook(partial(_record, recorder, read))
    recorder._initialized = True


def _record(recorder: ModuleOutputsRecorder, read: Callable, module: nn.Module,
            inputs: tuple, outputs: Any) -> None:
    if recorder.recording:
        recorder.forward_hook(module, inputs, read(module, inputs, outputs))


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
