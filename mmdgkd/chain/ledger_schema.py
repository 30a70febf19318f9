# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading ``chain.json``, by a schema of what it may hold."""
from typing import Any, Dict

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import parse_json

VERSION = 1


def _of(*types: str, **more: Any) -> Dict:
    return dict(type=[*types], **more)


def _dict(required: str = '', **properties: Any) -> Dict:
    return _of('object', required=required.split(), properties=properties)


def _each(value: Dict) -> Dict:
    return _of('object', additionalProperties=value)


_TEXT, _NUMBER = _of('string'), _of('number')
_COUNT = _of('integer', 'null', minimum=0)
_FILE = _dict('file sha256', file=_TEXT, sha256=_of('string', 'null'))
_STEP = _of('integer', minimum=0)
_METRIC = _dict(
    'name best best_at last history',
    name=_TEXT,
    best=_of('number', 'null'),
    best_at=_of('integer', 'null'),
    last=_of('number', 'null'),
    history=_of(
        'array',
        items=_of(
            'array', prefixItems=[_STEP, _NUMBER], minItems=2, maxItems=2)),
    rule=dict(enum=['greater', 'less']))
_STAGE = dict(
    _dict(
        'state guides',
        state=dict(enum=['pending', 'running', 'done', 'given']),
        # None: it was once part of another chain.
        guides=_of('array', 'null', items=_TEXT),
        config_sha256=_TEXT,
        environment=_of('object'),
        read=_each(_FILE),
        wrote=_FILE,
        metric=_METRIC,
        seconds=_of('number', minimum=0),
        store=_each(
            _dict(
                'recalled computed',
                recalled=_of('integer', minimum=0),
                computed=_of('integer', minimum=0),
                seconds=_of('number', 'null'))),
        params=_COUNT,
        macs=_COUNT,
        wandb_id=_TEXT,
        use=dict(enum=['best', 'ema'])),
    allOf=[{
        'if': dict(properties=dict(state=dict(enum=[state]))),
        'then': dict(required=required)
    } for state, required in (('running', ['config_sha256']),
                              ('done', ['config_sha256', 'wrote', 'seconds']))
           ])
_SCHEMA = dict(
    _dict(
        'version stages',
        version=_of('integer'),
        stages=dict(_each(_STAGE), minProperties=1),
        seed=_of('integer', 'null'),
        guidance=_of('string', 'object', 'null'),
        holdout=_of('object', 'null'),
        folds=_of('object', 'null'),
        config=_of('string', 'null'),
        torch=_TEXT,
        device=_TEXT))


def read_ledger(path: str) -> Dict[str, Any]:
    """Read ``chain.json``.

    Args:
        path (str): The file.

    Returns:
        dict: Its content, see :class:`Ledger`.

    Raises:
        ConfigError: If it cannot be read, is of another version, or holds
            anything else.
    """
    try:
        with open(path, encoding='utf-8') as file:
            data = parse_json(file.read())
    except (OSError, ValueError) as error:
        raise _unreadable(path, f'{type(error).__name__}: {error}') from None
    if isinstance(data, dict) and data.get('version', VERSION) != VERSION:
        raise ConfigError(f'{path}: is of version {data["version"]!r}, '
                          f'should be {VERSION}; choose another --work-dir')
    error = best_match(Draft202012Validator(_SCHEMA).iter_errors(data))
    if error is not None:
        where = error.json_path[2:]
        raise _unreadable(path, (f'{where}: ' if where else '') +
                          error.message[:200].splitlines()[0])
    for name, entry in data['stages'].items():
        for other in entry.get('read', {}):
            if other not in data['stages']:
                raise _unreadable(
                    path, f'stages.{name}.read: {other!r} is no stage')
    return data


def _unreadable(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f'{path}: is not readable as a ledger ({reason}); put it back from a '
        'copy, or choose another --work-dir')
