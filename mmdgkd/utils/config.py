# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Read the parts of configs, and describe their mistakes."""
import contextlib
import functools
import hashlib
import json
from typing import Any, Callable, Dict, List, Mapping, Sequence

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry

from mmdgkd.errors import ConfigError


def algorithm_types(model: Any) -> List[str]:
    """List the types of nested algorithms and their network, outermost first.

    Args:
        model (Mapping): The config of a network, or of algorithms around one.
    """
    found = []
    while isinstance(model, Mapping):
        found.append(type_of(model))
        model = model.get('architecture')
    return found


def in_own_scope(function: Callable) -> Callable:
    """Have a function find unscoped types as a Runner of its config does.

    Args:
        function (Callable): Its first argument is the config.
    """

    @functools.wraps(function)
    def scoped(cfg: Config, *args: Any) -> Any:
        scope = cfg.get('default_scope') or 'mmpretrain'
        with DefaultScope.overwrite_default_scope(scope):
            return function(cfg, *args)

    return scoped


def type_of(cfg: Mapping[str, Any]) -> str:
    """Get the name of a config's type, without its scope.

    Args:
        cfg (Mapping[str, Any]): The config; its type may be a class.
    """
    kind = cfg.get('type')
    return str(getattr(kind, '__name__', kind)).split('.')[-1]


def reason_of(error: BaseException) -> str:
    """Get the first line of an exception."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def find_type(registry: Registry, kind: Any) -> Any:
    """Find the class of a type in the default scope, as a Runner does.

    Args:
        registry (Registry): The registry.
        kind (str or type): The type; a class is returned as it is.

    Raises:
        KeyError: If there is none.
    """
    if not isinstance(kind, str):
        return kind
    found = None
    # Of some names, such as '', it raises.
    with contextlib.suppress(Exception), \
            registry.switch_scope_and_registry(None) as inner:
        found = inner.get(kind)
    if found is None:
        raise KeyError(f'there is no {kind or "type"}')
    return found


def typed_parts(cfg: Any) -> List[Dict]:
    """List the parts of a config that may be one, a list, or a mapping.

    Args:
        cfg (Any): Such as ``val_evaluator``.
    """
    if isinstance(cfg, (list, tuple)):
        return [part for item in cfg for part in typed_parts(item)]
    if isinstance(cfg, dict) and 'type' not in cfg:
        return [part for item in cfg.values() for part in typed_parts(item)]
    return [cfg] if isinstance(cfg, dict) else []


def refuse_unknown(cfg: Mapping, known: Sequence[str], here: str) -> None:
    """Refuse unknown keys in a part of the config.

    Args:
        cfg (Mapping): The part.
        known (Sequence[str]): The keys that it takes.
        here (str): Its own key, for the message.

    Raises:
        ConfigError: If there is another.
    """
    for key in cfg:
        if key not in known:
            raise ConfigError(f'{here}.{key}: is unknown; {here} takes '
                              f'{", ".join(known)}')


def hash_of(facts: Any) -> str:
    """Compute the sha256 of plain data, in hex.

    Args:
        facts (Any): Data that JSON can hold; other objects by their ``str``.
    """
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
