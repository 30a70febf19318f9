# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which trainings differ in the seed alone, and what is known by file."""
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from .formatting import format_duration, format_number, unit_of
from .methods import rank_of
from .records import Run, Stage


class Spread:
    """Values of several trainings: mean and sample standard deviation (n - 1).

    Args:
        values (Iterable[float | None]): One each; None is left out.
    """

    def __init__(self, values: Iterable[float | None]) -> None:
        self.values = [value for value in values if value is not None]
        self.mean = fmean(self.values) if self.values else None
        self.deviation = stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        text = format_number(self.mean)
        if self.deviation is not None:
            text += f'\u00a0±\u00a0{self.deviation:.2f}'
        return text


@dataclass
class Group:
    """Trainings of one network that are the same but for the seed.

    ``method`` tells it apart from other groups of the network.
    """

    network: str
    role: str
    method: str
    stages: list[Stage]

    @property
    def done(self) -> list[Stage]:
        """Those that are finished and measured."""
        return [
            stage for stage in self.stages
            if stage.state == 'done' and stage.last is not None
        ]

    @property
    def first(self) -> Stage:
        """One of them; a finished one if there is."""
        return (self.done or self.stages)[0]

    @property
    def last(self) -> Spread:
        """The metric of the last validation."""
        return Spread(stage.last for stage in self.done)

    @property
    def best(self) -> Spread:
        """The metric of the best validation."""
        return Spread(stage.best for stage in self.done)


def group_stages(runs: Sequence[Run]) -> list[Group]:
    """Put trainings together that differ in nothing but the seed.

    Networks that are given were trained elsewhere and are not counted. Where
    two runs hold the very same file, it is one training.

    They are in the order of the networks, then of the methods.
    """
    groups: list[Group] = []
    order: dict[str, int] = {}
    for run in runs:
        for name, stage in run.stages.items():
            order.setdefault(name, len(order))
            if stage.state == 'given':
                continue
            for group in groups:
                if group.network == name and _alike(group.first, stage):
                    break
            else:
                groups.append(Group(name, stage.role, stage.method, []))
                group = groups[-1]
            files = {other.wrote for other in group.stages} - {None}
            if stage.wrote not in files:
                group.stages.append(stage)
    groups.sort(key=lambda one: (order[one.network], rank_of(one.method)))
    by_name: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        by_name.setdefault((group.network, group.method), []).append(group)
    for same in by_name.values():
        if len(same) > 1:
            _tell_apart(same)
    return groups


def _alike(first: Stage, second: Stage) -> bool:
    """Whether they differ in nothing but the seed; some have no metric yet."""
    metrics = {first.metric, second.metric} - {None}
    return len(metrics) < 2 and all(
        getattr(first, key) == getattr(second, key)
        for key in ('method', 'teachers', 'settings'))


def _tell_apart(groups: Sequence[Group]) -> None:
    """Add to each method what it differs in from the others of its name."""
    settings = [group.first.settings for group in groups]
    keys = sorted({
        key
        for one in settings
        for key in one if any(
            other.get(key, ...) != one[key] for other in settings)
    })
    if keys:
        notes = [_format_values(one, keys[:2]) for one in settings]
    elif len({group.first.teachers for group in groups}) > 1:
        notes = [f'by {", ".join(group.first.teachers)}' for group in groups]
    else:
        notes = [''] * len(groups)
    for i, (group, note) in enumerate(zip(groups, notes), 1):
        if len(keys) > 2 or notes.count(note) > 1:
            note = f'{note}, variant {i}'.removeprefix(', ')
        group.method += f' ({note})'


def _format_values(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    values = {key: str(settings.get(key, 'not set')) for key in keys}
    return ', '.join(f'{key.split(".")[-1]}='
                     f'{value if len(value) < 20 else value[:18] + "…"}'
                     for key, value in values.items())


@dataclass
class Variant:
    """Runs of the same chain, trained in the same way.

    ``method`` tells it apart from the others.
    """

    method: str
    runs: list[Run]

    @property
    def names(self) -> list[str]:
        """The networks, the largest first."""
        return list(self.runs[0].stages)

    def stages(self, name: str) -> list[Stage]:
        """The stages of a network in all its runs."""
        return [run.stages[name] for run in self.runs]

    def stage(self, name: str) -> Stage:
        """A stage of a network; one that was trained here if there is one."""
        return min(self.stages(name), key=lambda one: one.state == 'given')


def group_runs(
    runs: Sequence[Run], groups: Sequence[Group] = ()) -> list[Variant]:
    """Put runs together whose stages differ in nothing but the seed.

    A network that one of them is given may be trained in the other. Those of
    one method have the names that their students have among the groups, or
    else those of their work dirs.
    """
    variants: list[Variant] = []
    for run in runs:
        for variant in variants:
            if all(_same_chain(run, other) for other in variant.runs):
                variant.runs.append(run)
                break
        else:
            variants.append(Variant(run.method, [run]))
    methods = [variant.method for variant in variants]
    named = [_name_in(groups, variant) for variant in variants]
    for variant, name in zip(variants, named):
        if methods.count(variant.method) > 1:
            variant.method = name if named.count(name) == 1 and name else (
                f'{variant.method} ({variant.runs[0].label})')
    return sorted(variants, key=lambda one: rank_of(one.runs[0].method))


def _name_in(groups: Sequence[Group], variant: Variant) -> str:
    """The method of the group of its student, if that is one group."""
    students = variant.stages(variant.names[-1])
    found = {
        group.method
        for group in groups
        for stage in group.stages
        if any(stage is student for student in students)
    }
    return found.pop() if len(found) == 1 else ''


def _same_chain(first: Run, second: Run) -> bool:
    same = [*first.stages, first.method] == [*second.stages, second.method]
    return same and all(
        'given' in (one.state, other.state) or _alike(one, other)
        for one, other in zip(first.stages.values(), second.stages.values()))


class Levels:
    """The metric of each trained file, by its sha256.

    Args:
        runs (Sequence[Run]): All of them.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._by_file: dict[str | None, Stage] = {}
        for run in runs:
            for stage in run.stages.values():
                if stage.wrote and stage.state == 'done':
                    self._by_file.setdefault(stage.wrote, stage)

    def origin(self, stage: Stage) -> Stage | None:
        """The training of a network's file, if it is in one of the runs."""
        return self._by_file.get(stage.wrote)

    def result_of(self, variant: Variant, network: str) -> str:
        """The mean metric of a network's files, or else its state."""
        stages = variant.stages(network)
        files = {stage.wrote: self.origin(stage) for stage in stages}
        known = [one for one in files.values() if one and one.used is not None]
        if known:
            mean = fmean(one.used for one in known)
            return f'{mean:.2f}{unit_of(known[-1].metric)}'
        states = {stage.state for stage in stages}
        if states == {'given'} or 'running' in states:
            return 'given' if states == {'given'} else 'running'
        # What is never validated has no number.
        return 'trained' if 'done' in states else 'not trained yet'

    def of_teachers(self, variant: Variant,
                    network: str) -> dict[str, float | None]:
        """The mean metric of each teacher of a network, by its very files."""
        means = {}
        for teacher in variant.stage(network).teachers:
            used = {}
            for run in variant.runs:
                sha256 = run.stages[network].read.get(teacher)
                stage, own = self._by_file.get(sha256), run.stages.get(teacher)
                if sha256 is None and own and own.state == 'done':
                    stage = own
                used[id(stage)] = stage
            means[teacher] = Spread(one.used for one in used.values()
                                    if one).mean
        return means


@dataclass
class Time:
    """The time of a stage and what the logit store did for it, means."""

    network: str
    spent: Spread  # seconds of the finished runs, or of all if none is
    so_far: bool  # whether none is finished
    lookups: float | None  # outputs of teachers that were needed
    hits: float | None  # those that were cached
    computing: float | None  # seconds of computing the others
    saved: float | None  # seconds; an estimate

    @property
    def text(self) -> str:
        """Such as ``2 min 05 s ± 1.0 s``."""
        text = format_duration(self.spent.mean)
        if self.spent.deviation is not None:
            text += f' ± {format_duration(self.spent.deviation)}'
        return f'{text} so far' if self.so_far else text


class Savings:
    """What the logit store saved.

    An output costs what computing one of that teacher took on average in the
    same stage, or, where it computed none there, in the others that used the
    same file on the same device.

    Args:
        runs (Sequence[Run]): All of them.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._measured: dict[tuple, tuple[float, int]] = {}
        for run in runs:
            for stage in run.stages.values():
                for teacher, count in stage.store.items():
                    if count.misses and count.seconds is not None:
                        key = self._key(stage, teacher)
                        seconds, misses = self._measured.get(key, (0.0, 0))
                        self._measured[key] = (seconds + count.seconds,
                                               misses + count.misses)

    @staticmethod
    def _key(stage: Stage, teacher: str) -> tuple:
        return stage.read.get(teacher), stage.environment.get('device')

    def of(self, stage: Stage) -> float | None:
        """The seconds saved in a stage; None where that is not known."""
        saved = 0.0 if stage.store else None
        for teacher, count in stage.store.items():
            seconds, misses = count.seconds, count.misses
            if not misses or seconds is None:
                seconds, misses = self._measured.get(
                    self._key(stage, teacher), (0.0, 0))
            if count.hits and not misses:
                return None
            if count.hits:
                saved += count.hits * seconds / misses
        return saved

    def time_of(self, variant: Variant, network: str) -> Time:
        """The means over the runs of a kind."""
        timed = [
            stage for stage in variant.stages(network)
            if stage.seconds is not None
        ]
        done = [stage for stage in timed if stage.state == 'done']
        stored = [stage for stage in done or timed if stage.store]
        counts = [stage.store.values() for stage in stored]
        hits = [sum(one.hits for one in some) for some in counts]
        misses = [sum(one.misses for one in some) for some in counts]
        seconds = [[one.seconds for one in some] for some in counts]
        return Time(
            network, Spread(stage.seconds for stage in done or timed),
            bool(timed and not done),
            Spread(map(sum, zip(hits, misses))).mean,
            Spread(hits).mean,
            Spread(sum(some) for some in seconds if None not in some).mean,
            Spread(map(self.of, stored)).mean)
