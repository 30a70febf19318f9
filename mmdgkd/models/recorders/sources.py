# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a recorder may record."""
from difflib import get_close_matches
from typing import Iterable, List

from mmrazor.models.task_modules import (ModuleOutputsRecorder,
                                         ParameterRecorder)
from torch import nn

from mmdgkd.errors import ConfigError


def refuse_source(source: str,
                  model: nn.Module,
                  names: Iterable[str],
                  owner: str,
                  front: str = '',
                  what: str = 'module') -> ConfigError:
    """The refusal of a source that is not in a network.

    Args:
        source (str): As in the config.
        model (nn.Module): The network.
        names (Iterable[str]): What there is in it.
        owner (str): What it is called, such as ``'teacher "resnet20"'``.
        front (str): What such a source has in front of the name of a module.
            Defaults to ''.
        what (str): What it should be. Defaults to ``'module'``.

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


def check_stock_source(recorder: object, model: nn.Module, owner: str) -> None:
    """See whether what one of MMRazor's recorders records is there.

    Args:
        recorder (BaseRecorder): Of functions and methods nothing is known.
        model (nn.Module): What it looks at; as a ``ModuleDict`` the teachers
            by name.
        owner (str): What that is called.

    Raises:
        ConfigError: If it is not there. Its message begins with ``source``.
    """
    if isinstance(recorder, ModuleOutputsRecorder):
        what = 'module'
    elif isinstance(recorder, ParameterRecorder):
        what = 'parameter'
    else:
        return

    def names(network: nn.Module) -> List[str]:
        return [name for name, _ in getattr(network, f'named_{what}s')()]

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
