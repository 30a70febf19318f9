# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The hooks that every stage has, whatever its config lists."""
from typing import Any, Dict, List, Mapping

from mmengine.config import Config

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import type_of

# As configs/_base_/default_runtime.py lists them. Without them a resumed
# stage, its BN statistics or a loss of NaN would differ without an error.
_ALWAYS: Dict[str, Dict[str, Any]] = {
    type_of(hook): hook
    for hook in (dict(type='SyncBuffersHook'),
                 dict(type='mmrazor.StepSeedHook'),
                 dict(type='mmrazor.FiniteLossHook', max_skips=0))
}


def keep_hooks(stage: Config, cfg: Config) -> None:
    """Add the hooks that every stage has to ``custom_hooks``.

    A list in a config replaces that of its parent. A hook that is not listed
    is taken from the whole config or has its default settings, and comes
    first. Of two of a type the last one counts. ``enabled=False`` leaves one
    out.

    Args:
        stage (Config): The config of the stage; it is changed.
        cfg (Config): The whole config.

    Raises:
        ConfigError: If ``custom_hooks`` is no list of configs of hooks, or
            ``enabled`` is no bool.
    """
    own = _hooks_of(stage)
    kinds = [type_of(hook) for hook in own]
    # The last one of a type counts.
    chosen = dict(_ALWAYS)
    for hook in (*_hooks_of(cfg), *own):
        if type_of(hook) in _ALWAYS:
            chosen[type_of(hook)] = hook
    hooks = [hook for kind, hook in chosen.items() if kind not in kinds]
    for i, (kind, hook) in enumerate(zip(kinds, own)):
        if kind not in _ALWAYS:
            hooks.append(hook)
        elif kind not in kinds[:i]:
            hooks.append(chosen[kind])
    stage.custom_hooks = [{
        key: value
        for key, value in hook.items()
        if key != 'enabled' or type_of(hook) not in _ALWAYS
    } for hook in hooks if _is_enabled(hook)]


def _hooks_of(cfg: Config) -> List[Mapping]:
    return list(cfg.get('custom_hooks') or ())


def _is_enabled(hook: Mapping) -> bool:
    enabled = hook.get('enabled', True) if type_of(hook) in _ALWAYS else True
    if not isinstance(enabled, bool):
        raise ConfigError(f'custom_hooks: {type_of(hook)}.enabled: {enabled!r}'
                          ' must be True or False')
    return enabled
