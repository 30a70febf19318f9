# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List, Mapping, Sequence

from mmengine.registry import Registry

from mmdgkd.errors import ConfigError


def algorithm_types(model: Any) -> List[str]:
    """The types of a model and of what it is around, the outermost first.

    Args:
        model (Mapping): The config of a network, or of algorithms around one.
    """
    found = []
    while isinstance(model, Mapping):
        found.append(type_of(model))
        model = model.get('architecture')
    return found


def type_of(cfg: Mapping[str, Any]) -> str:
    """The name of the type of a part of a config, without its scope.

    Args:
        cfg (Mapping[str, Any]): The part; its type may be a class.
    """
    kind = cfg.get('type')
    return str(getattr(kind, '__name__', kind)).split('.')[-1]


# What a wrong config raises inside of MMEngine and its family.
MISTAKES = (AssertionError, AttributeError, ImportError, LookupError, OSError,
            RuntimeError, TypeError, ValueError)


def reason_of(error: BaseException) -> str:
    """The first line of an exception."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def find_type(registry: Registry, kind: Any) -> Any:
    """The class of a type in the default scope, as a Runner finds it.

    Raises:
        KeyError: If there is none.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as inner:
        found = inner.get(kind)
    if found is None:
        raise KeyError(f'there is no {kind}')
    return found


def typed_parts(cfg: Any) -> List[Dict]:
    """The parts of a config that may be one, a list, or several by name.

    Args:
        cfg (Any): Such as ``val_evaluator``.
    """
    if isinstance(cfg, (list, tuple)):
        return [part for item in cfg for part in typed_parts(item)]
    if isinstance(cfg, dict) and 'type' not in cfg:
        return [part for item in cfg.values() for part in typed_parts(item)]
    return [cfg] if isinstance(cfg, dict) else []


def refuse_unknown(cfg: Mapping, known: Sequence[str], here: str) -> None:
    """Refuse keys that a part of the config does not have.

    Args:
        cfg (Mapping): The part.
        known (Sequence[str]): Its keys.
        here (str): Its own key, for the message.

    Raises:
        ConfigError: If there is another.
    """
    for key in cfg:
        if key not in known:
            raise ConfigError(f'{here}.{key}: is unknown; {here} takes '
                              f'{", ".join(known)}')
