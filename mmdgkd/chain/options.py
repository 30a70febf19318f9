# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading the options of a chain: views, splits, store, file format."""
from importlib.util import find_spec
from typing import Any, Dict, Mapping, Optional, Tuple

from mmdgkd.datasets.identity import FILE_KEYS
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.object_folder import check_address
from mmdgkd.logit_store.encoding import check_form
from mmdgkd.utils.config import refuse_unknown

_FORMATS = ('pth', 'safetensors')
_VIEW_KEYS = ('seed', 'num_views', 'file_key', 'skip_unreadable')
_PREFLIGHT_KEYS = ('steps', )
_HOLDOUT_KEYS = ('size', 'seed', 'validate')
_FOLDS_KEYS = ('num', 'seed')
_STORE_KEYS = ('store_dir', 'dtype', 'top_k', 'others', 'cache_dir',
               'cache_bytes')


def read_views(cfg: Any) -> Optional[Dict]:
    """Read ``chain.views``.

    Args:
        cfg (Any): As in the config.

    Raises:
        ConfigError: If it is not ``seed``, ``num_views``, ``file_key`` and
            ``skip_unreadable``.
    """
    here = 'chain.views'
    if cfg is None:
        return None
    if not isinstance(cfg, Mapping):
        raise ConfigError(f'{here}: must be dict(seed=..., num_views=...) or '
                          f'None, not {type(cfg).__name__}')
    refuse_unknown(cfg, _VIEW_KEYS, here)
    for key, least in (('seed', 0), ('num_views', 1)):
        value = cfg.get(key)
        if value is not None and not (type(value) is int and value >= least):
            raise ConfigError(f'{here}.{key}: {value!r} must be an integer'
                              f', {least} or more, or None')
    if not isinstance(cfg.get('skip_unreadable', False), bool):
        raise ConfigError(
            f'{here}.skip_unreadable: {cfg["skip_unreadable"]!r} '
            'must be True or False')
    if cfg.get('file_key', 'stat') not in FILE_KEYS:
        raise ConfigError(f'{here}.file_key: {cfg["file_key"]!r} is none of '
                          f'{", ".join(FILE_KEYS)}')
    return dict(cfg)


def read_holdout(cfg: Any) -> Optional[Dict[str, Any]]:
    """Read ``chain.holdout``.

    Args:
        cfg (Any): As in the config: how many images, or a dict of ``size``,
            ``seed`` and ``validate``.

    Returns:
        dict, optional: These three; None if nothing is held out.

    Raises:
        ConfigError: If it is none of these.
    """
    read = _read_count(cfg, 'chain.holdout', 'size', _HOLDOUT_KEYS, 1)
    if read is not None:
        validate = read.setdefault('validate', True)
        if not isinstance(validate, bool):
            raise ConfigError(f'chain.holdout.validate: {validate!r} must be '
                              'True or False')
    return read


def read_folds(cfg: Any) -> Optional[Dict[str, Any]]:
    """Read ``chain.folds``.

    Args:
        cfg (Any): As in the config: how many, or a dict of ``num`` and
            ``seed``.

    Returns:
        dict, optional: These two; None without folds.

    Raises:
        ConfigError: If it is none of these.
    """
    return _read_count(cfg, 'chain.folds', 'num', _FOLDS_KEYS, 2)


def _read_count(cfg: Any, here: str, key: str, keys: Tuple[str, ...],
                least: int) -> Optional[Dict[str, Any]]:
    """A number, or a dict of it and more, with a seed."""
    if cfg is None or cfg is False:
        return None
    if not isinstance(cfg, Mapping):
        cfg = {key: cfg}
    refuse_unknown(cfg, keys, here)
    if key not in cfg:
        raise ConfigError(f'{here}.{key}: is missing; must be an integer, '
                          f'{least} or more')
    read = dict(dict(seed=0), **cfg)
    for name, low in ((key, least), ('seed', 0)):
        value = read.get(name)
        if type(value) is not int or value < low:
            at = here if len(cfg) == 1 and name == key else f'{here}.{name}'
            raise ConfigError(
                f'{at}: {value!r} must be an integer, {low} or more')
    return read


def read_store(cfg: Any) -> Dict:
    """Read ``chain.logit_store``.

    Args:
        cfg (Any): As in the config.

    Raises:
        ConfigError: If it is not ``store_dir``, ``dtype``, ``top_k``,
            ``others``, ``cache_dir`` and ``cache_bytes``.
    """
    here = 'chain.logit_store'
    cfg = {} if cfg is True else cfg
    if not isinstance(cfg, Mapping):
        raise ConfigError(f'{here}: must be dict(store_dir=..., dtype=..., '
                          f'top_k=...), True or None, not {cfg!r}')
    refuse_unknown(cfg, _STORE_KEYS, here)
    for key in ('store_dir', 'cache_dir'):
        if not isinstance(cfg.get(key) or '', str):
            raise ConfigError(
                f'{here}.{key}: {cfg[key]!r} must be the name of a folder')
    check_address(cfg.get('store_dir') or '', f'{here}.store_dir')
    size = cfg.get('cache_bytes', 0)
    if type(size) is not int or size < 0:
        raise ConfigError(
            f'{here}.cache_bytes: {size!r} must be an integer, 0 or more')
    cfg = dict(cfg)
    check_form(
        cfg.get('dtype', 'float16'), cfg.get('top_k'), cfg.get('others'))
    return cfg


def read_format(name: Any) -> str:
    """Read ``chain.save_as``.

    Args:
        name (Any): As in the config.

    Raises:
        ConfigError: If it is no format, or its package is missing.
    """
    if name not in _FORMATS:
        raise ConfigError(f'chain.save_as: {name!r} must be one of '
                          f'{", ".join(map(repr, _FORMATS))}')
    if name == 'safetensors' and find_spec('safetensors') is None:
        raise ConfigError("chain.save_as: 'safetensors' needs a package: "
                          'pip install safetensors')
    return name


def read_preflight(cfg: Any) -> Optional[Dict]:
    """Read ``chain.preflight``.

    Args:
        cfg (Any): As in the config.

    Returns:
        dict: ``steps``, the training steps of a rehearsal; None without one.

    Raises:
        ConfigError: If it is not ``steps``.
    """
    here = 'chain.preflight'
    if cfg is False:
        return None
    cfg = {} if cfg in (True, None) else cfg
    if not isinstance(cfg, Mapping):
        raise ConfigError(f'{here}: must be dict(steps=...) or False, not '
                          f'{cfg!r}')
    refuse_unknown(cfg, _PREFLIGHT_KEYS, here)
    steps = cfg.get('steps', 2)
    if type(steps) is not int or steps < 1:
        raise ConfigError(f'{here}.steps: {steps!r} must be an integer, 1 or '
                          'more')
    return dict(steps=steps)
