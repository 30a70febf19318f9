# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What work dirs say of themselves, as data: nothing is executed here."""
import json
import math
import os
import os.path as osp
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmdgkd.chain.ledger import VERSION
from mmdgkd.errors import ConfigError

METHODS = {
    'none': 'alone',
    'direct': 'KD',
    'sequential': 'TAKD',
    'dense': 'DGKD'
}


@dataclass(frozen=True)
class StoreCount:
    """What the logit store was asked for of one teacher in one stage.

    Attributes:
        recalled (int): Outputs of the teacher that were read.
        computed (int): Outputs that the teacher had to compute.
        seconds (float, optional): What the computing took.
    """

    recalled: int
    computed: int
    seconds: Optional[float] = None


@dataclass
class Stage:
    """One network of a work dir.

    Attributes:
        name (str): The network.
        role (str): ``'teacher'``, ``'TA'``, ``'student'`` or ``'network'``.
        state (str): ``'done'``, ``'running'``, ``'pending'`` or ``'given'``.
        teachers (tuple[str]): Who has guided it.
        method (str): How it was trained, such as ``'DGKD'``.
        metric (str, optional): Name of the metric.
        best (float, optional): The best validation.
        best_at (int, optional): When that was.
        last (float, optional): The last validation.
        history (list): (step, value) of each validation.
        seconds (float, optional): Time of training.
        wrote (str, optional): The sha256 of its file.
        read (dict[str, str]): The sha256 of the files of its teachers.
        store (dict[str, StoreCount], optional): By teacher; None: not recorded.
        params (int, optional): Number of parameters.
        macs (int, optional): Multiply-accumulate operations per image.
        environment (dict): ``versions``, ``device``, ``processes``.
        unit (str): What it is counted by, ``'epoch'`` or ``'iteration'``.
        length (int, optional): How long it trains.
        settings (dict): What decides about its outcome, flat.
        objective (str, optional): What it was trained to do.
        silent (str, optional): How teachers are silenced.
    """

    name: str
    role: str
    state: str
    teachers: Tuple[str, ...]
    method: str
    metric: Optional[str] = None
    best: Optional[float] = None
    best_at: Optional[int] = None
    last: Optional[float] = None
    history: List[Tuple[int, float]] = field(default_factory=list)
    seconds: Optional[float] = None
    wrote: Optional[str] = None
    read: Dict[str, str] = field(default_factory=dict)
    store: Optional[Dict[str, StoreCount]] = None
    params: Optional[int] = None
    macs: Optional[int] = None
    environment: Dict[str, Any] = field(default_factory=dict)
    unit: str = 'epoch'
    length: Optional[int] = None
    settings: Dict[str, Any] = field(default_factory=dict)
    objective: Optional[str] = None
    silent: Optional[str] = None


@dataclass
class Run:
    """A work dir.

    Attributes:
        path (str): The work dir.
        label (str): A short name of it, without the machine's folders.
        stages (dict[str, Stage]): In the order of the chain.
        guidance (str | dict | None): As in the config.
        seed (int, optional): The seed.
        config (str, optional): The name of the config file.
        date (str, optional): The day on which the training began.
        settings (dict[str, str]): What people want to know, in words.
        note (str, optional): What could not be read.
    """

    path: str
    label: str
    stages: Dict[str, Stage]
    guidance: Any = None
    seed: Optional[int] = None
    config: Optional[str] = None
    date: Optional[str] = None
    settings: Dict[str, str] = field(default_factory=dict)
    note: Optional[str] = None

    @property
    def method(self) -> str:
        """The name of what the whole run is."""
        name = METHODS.get(str(self.guidance), 'own guidance')
        silent = any(stage.silent for stage in self.stages.values())
        return f'stochastic {name}' if silent else name


def read_runs(paths: Sequence[str]) -> List[Run]:
    """Read the ledgers of work dirs.

    Args:
        paths (Sequence[str]): The work dirs.

    Raises:
        ConfigError: If one is none, is given twice, or its ledger cannot be
            read.
    """
    seen = set()
    for path in paths:
        there = osp.realpath(path)
        if there in seen:
            raise ConfigError(f'WORK_DIR: {path!r} is given twice')
        seen.add(there)
    return [
        _read_run(path, label) for path, label in zip(paths, _labels(paths))
    ]


def _labels(paths: Sequence[str]) -> List[str]:
    """The last folders of paths, as many as it takes to tell them apart."""
    parts = [osp.abspath(path).split(os.sep) for path in paths]
    depth = 1
    while len({tuple(part[-depth:]) for part in parts}) < len(parts):
        depth += 1
    return ['/'.join(part[-depth:]) for part in parts]


def _read_run(path: str, label: str) -> Run:
    if not osp.isdir(path):
        raise ConfigError(f'WORK_DIR: there is no folder {path!r}')
    file = osp.join(path, 'chain.json')
    if not osp.isfile(file):
        raise ConfigError(f'WORK_DIR: {path!r} holds no chain.json; give the '
                          'work dir of a chain that tools/train.py trains')
    try:
        with open(file, encoding='utf-8') as stream:
            data = json.load(stream)
        if data['version'] != VERSION:
            raise ValueError(
                f'its version is {data["version"]}, not {VERSION}')
        guidance = data.get('guidance')
        names = list(data['stages'])
        if not names:
            raise ValueError('it has no stages')
        stages = {
            name:
            _read_stage(name, entry, _role(i, len(names)), guidance, names[:i])
            for i, (name, entry) in enumerate(data['stages'].items())
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as error:
        raise ConfigError(f'{file}: is not readable as a ledger '
                          f'({type(error).__name__}: '
                          f'{str(error).splitlines()[0]})') from None
    for stage in stages.values():
        if not stage.environment:
            # Of work dirs before mmdgkd noted it by stage.
            known = {'torch': data.get('torch')} if data.get('torch') else {}
            stage.environment = dict(versions=known, device=data.get('device'))
    return Run(path, label, stages, guidance, data.get('seed'),
               data.get('config'), _date(path, names))


def _read_stage(name: str, entry: Mapping, role: str, guidance: Any,
                before: Sequence[str]) -> Stage:
    metric = entry.get('metric') or {}
    teachers = tuple(entry['guides'] or ())
    store = entry.get('store')
    if store is not None:
        store = {
            teacher:
            StoreCount(
                int(count['recalled']), int(count['computed']),
                _number(count.get('seconds')))
            for teacher, count in store.items()
        }
    read = {
        teacher: str(file.get('sha256'))
        for teacher, file in (entry.get('read') or {}).items()
    }
    history = [(int(step), float(value))
               for step, value in metric.get('history') or ()]
    return Stage(
        str(name),
        role,
        str(entry['state']),
        teachers,
        _method(teachers, guidance, before),
        metric.get('name'),
        _number(metric.get('best')),
        _whole(metric.get('best_at')),
        _number(metric.get('last')),
        history,
        _number(entry.get('seconds')), (entry.get('wrote')
                                        or {}).get('sha256'),
        read,
        store,
        _whole(entry.get('params')),
        _whole(entry.get('macs')),
        environment=dict(entry.get('environment') or {}))


def _number(value: Any) -> Optional[float]:
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: Any) -> Optional[int]:
    return None if value is None else int(value)


def _role(index: int, total: int) -> str:
    if total == 1:
        return 'network'
    return {0: 'teacher', total - 1: 'student'}.get(index, 'TA')


def _method(teachers: Tuple[str, ...], guidance: Any,
            before: Sequence[str]) -> str:
    """What the field calls it."""
    if not teachers:
        return 'alone'
    if isinstance(guidance, str) and guidance in METHODS:
        return METHODS[guidance]
    if len(teachers) > 1 and list(teachers) == list(before):
        return 'DGKD'
    if list(teachers) == list(before[:1]):
        return 'KD'
    if list(teachers) == list(before[-1:]):
        return 'TAKD'
    return f'by {", ".join(teachers)}'


def _date(path: str, names: Sequence[str]) -> Optional[str]:
    """The day of MMEngine's first log folder."""
    found = []
    for name in names:
        folder = osp.join(path, name)
        for entry in os.listdir(folder) if osp.isdir(folder) else ():
            match = re.fullmatch(r'(\d{4})(\d{2})(\d{2})_\d{6}', entry)
            if match:
                found.append('-'.join(match.groups()))
    return min(found, default=None)
