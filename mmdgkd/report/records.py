# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The ledgers of work dirs as data: nothing is executed here."""
import math
import os
import os.path as osp
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdgkd.chain.ledger_schema import read_ledger
from mmdgkd.errors import ConfigError
from mmdgkd.utils.metrics import rule_of
from .methods import METHOD_STYLES

_BY_GUIDANCE = {
    style.guidance: style.label
    for style in reversed(METHOD_STYLES.values())
}


@dataclass(frozen=True)
class StoreCount:
    """Lookups of one teacher's outputs in the logit store, in one stage."""

    hits: int  # outputs that were cached
    misses: int  # outputs that the teacher computed
    seconds: float | None = None  # of computing them


@dataclass
class Stage:
    """One network of a work dir."""

    name: str
    role: str  # 'teacher', 'TA', 'student' or 'network'
    state: str  # 'done', 'running', 'pending' or 'given'
    teachers: tuple[str, ...]
    method: str  # how it was trained, such as 'DGKD'
    metric: str | None = None  # name of the metric
    rule: str | None = None  # 'greater' or 'less' is better, if it is known
    best: float | None = None
    best_at: int | None = None  # epoch or iteration of the best validation
    last: float | None = None
    use: str = 'last'  # which weights its file has, or 'best', 'ema'
    history: list[tuple[int, float]] = field(default_factory=list)
    seconds: float | None = None
    wrote: str | None = None  # sha256 of its file
    weights: str | None = None  # that, or the address of the file
    folder: str | None = None  # in the work dir
    read: dict[str, str] = field(default_factory=dict)  # of its teachers
    store: dict[str, StoreCount] = field(default_factory=dict)  # by teacher
    params: int | None = None
    macs: int | None = None  # per image
    environment: dict[str, Any] = field(default_factory=dict)
    # By its config:
    unit: str = 'epoch'  # or 'iteration'
    length: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # by dotted key
    objective: str | None = None  # its losses
    dropped: str | None = None  # how teachers are dropped

    @property
    def used(self) -> float | None:
        """The metric of its file."""
        return self.best if self.use == 'best' else self.last


@dataclass
class Run:
    """A work dir."""

    path: str
    label: str  # a short name, without the machine's folders
    stages: dict[str, Stage]  # in the order of the chain
    guidance: Any = None  # as in the config
    seed: int | None = None
    config: str | None = None  # name of the config file
    date: str | None = None  # on which the training began
    settings: dict[str, str] = field(default_factory=dict)  # formatted
    note: str | None = None  # what could not be read
    images: list[Any] = field(default_factory=list)  # see sources_of

    @property
    def method(self) -> str:
        """The name of the method of the whole run."""
        name = _BY_GUIDANCE.get(str(self.guidance), 'own guidance')
        dropped = any(stage.dropped for stage in self.stages.values())
        return f'stochastic {name}' if dropped else name


def read_runs(paths: Sequence[str]) -> list[Run]:
    """Read the ledgers of work dirs.

    Args:
        paths (Sequence[str]): The work dirs.

    Raises:
        ConfigError: If one is none, is given twice, or its ledger cannot be
            read.
    """
    real = [osp.realpath(path) for path in paths]
    for i, path in enumerate(paths):
        if real[i] in real[:i]:
            raise ConfigError(f'WORK_DIR: {path!r} is given twice')
    # The last folders of the paths, as many as tell them apart.
    parts = [osp.abspath(path).split(os.sep) for path in paths]
    depth = 1
    while len({tuple(part[-depth:]) for part in parts}) < len(parts):
        depth += 1
    return [
        _read_run(path, '/'.join(part[-depth:]))
        for path, part in zip(paths, parts)
    ]


def _read_run(path: str, label: str) -> Run:
    if not osp.isdir(path):
        raise ConfigError(f'WORK_DIR: there is no folder {path!r}')
    file = osp.join(path, 'chain.json')
    if not osp.isfile(file):
        raise ConfigError(f'WORK_DIR: {path!r} holds no chain.json; give the '
                          'work dir of a chain that mmdgkd train trains')
    data = read_ledger(file)
    names = list(data['stages'])
    stages = {
        name: _read_stage(names, i, data)
        for i, name in enumerate(names)
    }
    for name, stage in stages.items():
        stage.folder = osp.join(path, name)
    return Run(path, label, stages, data.get('guidance'), data.get('seed'),
               data.get('config'), _date(path, names))


def _read_stage(names: Sequence[str], index: int, data: Mapping) -> Stage:
    entry = data['stages'][names[index]]
    metric = entry.get('metric') or {}
    teachers, wrote = tuple(entry['guides'] or ()), entry.get('wrote') or {}
    roles = {0: 'teacher', len(names) - 1: 'student'}
    return Stage(
        names[index],
        roles.get(index, 'TA') if len(names) > 1 else 'network',
        str(entry['state']),
        teachers,
        _method(teachers, data.get('guidance'), names[:index]),
        metric=metric.get('name'),
        rule=metric.get('rule') or rule_of(metric.get('name') or ''),
        best=_finite(metric.get('best')),
        best_at=_integer(metric.get('best_at')),
        last=_finite(metric.get('last')),
        use=str(entry.get('use', 'last')),
        history=[(int(step), float(value))
                 for step, value in metric.get('history') or ()],
        seconds=_finite(entry.get('seconds')),
        wrote=wrote.get('sha256'),
        weights=wrote.get('sha256') or wrote.get('file'),
        read={
            teacher: str(file.get('sha256'))
            for teacher, file in (entry.get('read') or {}).items()
        },
        store={
            teacher:
            StoreCount(
                int(count['recalled']), int(count['computed']),
                _finite(count.get('seconds')))
            for teacher, count in (entry.get('store') or {}).items()
        },
        params=_integer(entry.get('params')),
        macs=_integer(entry.get('macs')),
        environment=dict(entry.get('environment') or {}))


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _method(teachers: tuple[str, ...], guidance: Any,
            before: Sequence[str]) -> str:
    """The field's name for such a guidance."""
    if not teachers:
        return 'alone'
    if isinstance(guidance, str) and guidance in _BY_GUIDANCE:
        return _BY_GUIDANCE[guidance]
    if len(teachers) > 1 and list(teachers) == list(before):
        return 'DGKD'
    if list(teachers) == list(before[:1]):
        return 'KD'
    if list(teachers) == list(before[-1:]):
        return 'TAKD'
    return f'by {", ".join(teachers)}'


def _date(path: str, names: Sequence[str]) -> str | None:
    """The day of MMEngine's first log folder."""
    folders = [osp.join(path, name) for name in names]
    matches = [
        re.fullmatch(r'(\d{4})(\d{2})(\d{2})_\d{6}', entry)
        for folder in folders if osp.isdir(folder)
        for entry in os.listdir(folder)
    ]
    return min(('-'.join(match.groups()) for match in matches if match),
               default=None)
