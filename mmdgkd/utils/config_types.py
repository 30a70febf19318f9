# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Mapping


def type_of(cfg: Mapping[str, Any]) -> str:
    """The name of the type of a part of a config, without its scope.

    Args:
        cfg (Mapping[str, Any]): The part; its type may be a class.
    """
    kind = cfg.get('type')
    return str(getattr(kind, '__name__', kind)).split('.')[-1]
