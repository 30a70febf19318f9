# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which trainings are the same but for the seed, and what is known by file."""
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .records import Run, Stage
from .words import number

METHOD_NAMES = {
    'alone':
    'trained on the labels, without a teacher',
    'KD':
    'guided by the teacher alone (knowledge distillation)',
    'TAKD':
    'each guided by the network before it (teacher assistants)',
    'DGKD':
    'each guided by all larger networks before it (dense guidance)',
    'stochastic DGKD':
    'as DGKD, but in each step some teachers, drawn at random, are silent',
}


@dataclass(frozen=True)
class Spread:
    """Values of several trainings.

    Attributes:
        values (tuple[float]): One a training.
    """

    values: Tuple[float, ...]

    @property
    def mean(self) -> Optional[float]:
        """Their mean; None of none."""
        return fmean(self.values) if self.values else None

    @property
    def deviation(self) -> Optional[float]:
        """Their sample standard deviation (n - 1); None of less than two."""
        return stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        text = number(self.mean)
        if self.deviation is not None:
            text += f'\u00a0±\u00a0{self.deviation:.2f}'
        return text


@dataclass
class Group:
    """Trainings of one network that are the same but for the seed.

    Attributes:
        network (str): The network.
        role (str): What it is in its chain.
        method (str): How it was trained; told apart where need be.
        stages (list[tuple[Run, Stage]]): The trainings.
    """

    network: str
    role: str
    method: str
    stages: List[Tuple[Run, Stage]] = field(default_factory=list)

    @property
    def first(self) -> Stage:
        """One of them; a finished one if there is."""
        return (self.done or self.stages)[0][1]

    @property
    def done(self) -> List[Tuple[Run, Stage]]:
        """Those that are finished and measured."""
        return [(run, stage) for run, stage in self.stages
                if stage.state == 'done' and stage.last is not None]

    @property
    def last(self) -> Spread:
        """The metric of the last validation."""
        return Spread(
            tuple(stage.last for _, stage in self.done
                  if stage.last is not None))

    @property
    def best(self) -> Spread:
        """The metric of the best validation."""
        return Spread(
            tuple(stage.best for _, stage in self.done
                  if stage.best is not None))

    @property
    def unfinished(self) -> int:
        """How many are not counted."""
        return len(self.stages) - len(self.done)


def group_stages(runs: Sequence[Run]) -> List[Group]:
    """Put trainings together that differ in nothing but the seed.

    Networks that are given were trained elsewhere and are not counted. Where
    two runs hold the very same file, it is one training.

    Args:
        runs (Sequence[Run]): All of them.

    Returns:
        list[Group]: In the order of the networks, then of the methods.
    """
    groups: List[Group] = []
    order: Dict[str, int] = {}
    for run in runs:
        for name, stage in run.stages.items():
            order.setdefault(name, len(order))
            if stage.state == 'given':
                continue
            group = next(
                (group for group in groups
                 if group.network == name and _alike(group.first, stage)),
                None)
            if group is None:
                group = Group(name, stage.role, stage.method)
                groups.append(group)
            twin = stage.wrote and any(stage.wrote == other.wrote
                                       for _, other in group.stages)
            if not twin:
                group.stages.append((run, stage))
    groups.sort(
        key=lambda group: (order[group.network], method_rank(group.method)))
    _tell_apart(groups)
    return groups


def method_rank(method: str) -> Tuple[int, str]:
    """The order in which methods are shown."""
    known = list(METHOD_NAMES)
    return (known.index(method) if method in known else len(known), method)


def _alike(first: Stage, second: Stage) -> bool:
    """Whether they differ in nothing but the seed; some have no metric yet."""
    same_metric = first.metric == second.metric or None in (first.metric,
                                                            second.metric)
    return same_metric and (first.method, first.teachers,
                            first.settings) == (second.method, second.teachers,
                                                second.settings)


def _tell_apart(groups: Sequence[Group]) -> None:
    """Say what differs between groups of one name."""
    for group in groups:
        others = [
            other for other in groups
            if (other.network, other.first.method) == (group.network,
                                                       group.first.method)
        ]
        if len(others) > 1:
            group.method += f' ({_difference(group, others)})'


def _difference(group: Group, others: Sequence[Group]) -> str:
    mine = group.first.settings
    keys = sorted({
        key
        for other in others
        for key in {
            **mine,
            **other.first.settings
        } if mine.get(key, ...) != other.first.settings.get(key, ...)
    })
    if not keys:
        if len({other.first.teachers for other in others}) > 1:
            return f'by {", ".join(group.first.teachers)}'
        return f'variant {others.index(group) + 1}'
    words = _format_teachers(mine, keys)
    twins = [
        other for other in others
        if _format_teachers(other.first.settings, keys) == words
    ]
    if len(keys) > 2 or len(twins) > 1:
        words.append(f'variant {others.index(group) + 1}')
    return ', '.join(words)


def _format_teachers(settings: Mapping[str, Any],
                     keys: Sequence[str]) -> List[str]:
    """The first two of them."""
    return [
        f'{key.split(".")[-1]}={_value(settings, key)}' for key in keys[:2]
    ]


def _value(settings: Mapping[str, Any], key: str) -> str:
    text = str(settings.get(key, 'not set'))
    return text if len(text) < 20 else text[:18] + '…'


@dataclass
class Variant:
    """Runs of the same chain, trained in the same way.

    Attributes:
        method (str): How, such as ``'DGKD'``; told apart where need be.
        runs (list[Run]): Its runs.
    """

    method: str
    runs: List[Run] = field(default_factory=list)

    @property
    def names(self) -> List[str]:
        """The networks, the largest first."""
        return list(self.runs[0].stages)

    def stages(self, name: str) -> List[Tuple[Run, Stage]]:
        """The stages of a network in all its runs."""
        return [(run, run.stages[name]) for run in self.runs]

    def stage(self, name: str) -> Stage:
        """A stage of a network; one that was trained here if there is one."""
        stages = [stage for _, stage in self.stages(name)]
        return next((stage for stage in stages if stage.state != 'given'),
                    stages[0])


def group_runs(runs: Sequence[Run]) -> List[Variant]:
    """Put runs together whose stages differ in nothing but the seed.

    A network that one of them is given may be trained in the other.

    Args:
        runs (Sequence[Run]): All of them.
    """
    variants: List[Variant] = []
    for run in runs:
        for variant in variants:
            if all(_same_chain(run, other) for other in variant.runs):
                variant.runs.append(run)
                break
        else:
            variants.append(Variant(run.method, [run]))
    methods = [variant.method for variant in variants]
    for variant in variants:
        if methods.count(variant.method) > 1:
            variant.method += f' ({variant.runs[0].label})'
    variants.sort(key=lambda variant: method_rank(variant.runs[0].method))
    return variants


def _same_chain(first: Run, second: Run) -> bool:
    if (list(first.stages), first.method) != (list(second.stages),
                                              second.method):
        return False
    pairs = zip(first.stages.values(), second.stages.values())
    return all('given' in (one.state, other.state) or _alike(one, other)
               for one, other in pairs)


class Levels:
    """What each trained file scored, by its sha256.

    Args:
        runs (Sequence[Run]): All of them.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._by_file: Dict[str, Tuple[Run, Stage]] = {}
        for run in runs:
            for stage in run.stages.values():
                if stage.wrote and stage.state == 'done':
                    self._by_file.setdefault(stage.wrote, (run, stage))

    def origin(self, stage: Stage) -> Optional[Tuple[Run, Stage]]:
        """Where a given network was trained, if that is one of the runs."""
        return self._by_file.get(stage.wrote or '')

    def of_teacher(self, run: Run, stage: Stage,
                   teacher: str) -> Optional[Stage]:
        """The training of the very file that has guided a stage.

        Args:
            run (Run): The run.
            stage (Stage): A stage of it.
            teacher (str): One of its teachers.
        """
        sha256 = stage.read.get(teacher)
        if sha256 in self._by_file:
            return self._by_file[sha256][1]
        own = run.stages.get(teacher)
        if sha256 is None and own is not None and own.state == 'done':
            return own
        return None
