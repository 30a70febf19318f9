# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables of a report."""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

from mmdgkd.report.charts.accuracy import metric_name
from mmdgkd.report.charts.times import times_of
from .groups import Group, Levels, Spread, Variant
from .headline import progress_of
from .records import Run, Stage
from .store import Savings
from .words import DASH, count, duration, number, short


@dataclass(frozen=True)
class Table:
    """A table of words.

    Attributes:
        title (str): What it shows.
        head (list[str]): Its columns.
        rows (list[list[str]]): Its cells.
        words (int): So many columns from the left are words, the others
            numbers.
        note (str): Below it.
    """

    title: str
    head: List[str]
    rows: List[List[str]]
    words: int
    note: str = ''


def results_table(groups: Sequence[Group], variants: Sequence[Variant],
                  levels: Levels) -> Table:
    """The metric of each network by how it was trained."""
    metric = metric_name([group for group in groups if group.first.metric])
    trained = [[
        f'{group.network} ({group.role})', group.method,
        ', '.join(group.first.teachers) or DASH,
        _states(group),
        count(group.first.params),
        short(group.first.macs),
        str(len(group.done)),
        str(group.last),
        _best(group)
    ] for group in groups]
    known = {group.network for group in groups}
    given = []
    for variant in variants:
        for name in variant.names:
            stage = variant.stage(name)
            if name not in known and levels.origin(stage) is None:
                known.add(name)
                given.append([
                    f'{name} ({stage.role})', 'given', DASH, 'given',
                    count(stage.params),
                    short(stage.macs), '0', DASH, DASH
                ])
    return Table(
        f'Results: {metric}', [
            'network', 'trained', 'teachers', 'state', 'parameters', 'MACs',
            'n', 'last', 'best'
        ], given + trained, 4,
        'n counts what is done. A network that is "given" was '
        'trained elsewhere; its result is known only if that work dir was '
        'read, too.')


def _best(group: Group) -> str:
    text = str(group.best)
    if len(group.done) == 1 and group.done[0][1].best_at is not None:
        stage = group.done[0][1]
        text += f' ({stage.unit} {stage.best_at})'
    return text


def _states(group: Group) -> str:
    states = Counter(stage.state for _, stage in group.stages)
    if len(states) == 1:
        state = next(iter(states))
        if state == 'running' and len(group.stages) == 1:
            state += progress_of(group.first.history, group.first.length)
        return state
    return ', '.join(f'{many} {state}' for state, many in states.items())


def times_table(variants: Sequence[Variant], savings: Savings) -> Table:
    """The time of each stage and what the store was asked for in it."""
    rows = []
    for variant in variants:
        for name in variant.names:
            stages = [stage for _, stage in variant.stages(name)]
            if all(stage.state == 'given' for stage in stages):
                continue
            spread, saved, so_far = times_of(variant, name, savings)
            if not so_far:
                stages = [stage for stage in stages if stage.state == 'done']
            found = [savings.of(stage) for stage in stages]
            known = [one for one in found if one is not None]
            computing = [
                one.computing for one in known if one.computing is not None
            ]
            taken = duration(spread.mean)
            if spread.deviation is not None:
                taken += f' ± {duration(spread.deviation)}'
            if so_far:
                taken += ' so far'
            rows.append([
                variant.method, name, taken,
                _mean([one.recalled for one in known]),
                _mean([one.computed for one in known]),
                duration(Spread(tuple(computing)).mean),
                duration(saved)
            ])
    return Table(
        'Time and store', [
            'trained', 'stage', 'time', 'outputs read', 'outputs computed',
            'computing them', 'saved (estimate)'
        ], rows, 2,
        'Means over the runs. An output is what one teacher answers '
        'to one image. "Saved" is the outputs read times the measured seconds '
        'of computing one; the time of reading is in "time" already. Of '
        'several processes the first one is counted. A dash: not recorded, or '
        'no store, or no teacher.')


def _mean(values: Sequence[int]) -> str:
    mean = Spread(tuple(map(float, values))).mean
    return DASH if mean is None else f'{mean:,.0f}'


def settings_table(variants: Sequence[Variant]) -> Table:
    """What the runs were told."""
    settings = [variant.runs[0].settings for variant in variants]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    runs = [run for variant in variants for run in variant.runs]
    configs = dict.fromkeys(run.config or DASH for run in runs)
    rows = [['config', ', '.join(configs)], ['seeds', _seeds(runs)]]
    for key in keys:
        values = [one.get(key, DASH) for one in settings]
        known = [value for value in values if value not in (DASH, '-')]
        if len(set(known)) <= 1:
            rows.append([key, known[0] if known else DASH])
            continue
        by_value: Dict[str, List[str]] = {}
        for variant, value in zip(variants, values):
            by_value.setdefault(value, []).append(variant.method)
        rows.append([
            key, '; '.join(f'{", ".join(methods)}: {value}'
                           for value, methods in by_value.items()
                           if value not in (DASH, '-'))
        ])
    return Table('Settings', ['setting', 'value'], rows, 2,
                 'All of it is in config.py of each work dir.')


def _seeds(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    return ', '.join(map(str, seeds)) or DASH


def versions_table(variants: Sequence[Variant]) -> Table:
    """With what it was trained."""
    trained: List[Stage] = [
        stage for variant in variants for run in variant.runs
        for stage in run.stages.values() if stage.state in ('done', 'running')
    ]
    names = ['python', 'torch', 'mmengine', 'mmpretrain', 'mmrazor', 'mmdgkd']
    rows = [[
        name,
        _all([
            stage.environment.get('versions', {}).get(name)
            for stage in trained
        ])
    ] for name in names]
    for key in ('device', 'processes'):
        rows.append(
            [key, _all([stage.environment.get(key) for stage in trained])])
    return Table('Versions', ['what', 'value'], rows, 2)


def _all(values: Sequence[Optional[str]]) -> str:
    known = dict.fromkeys(
        DASH if value is None else str(value) for value in values)
    return '; '.join(known) or DASH


def runs_table(runs: Sequence[Run]) -> Table:
    """The work dirs."""
    rows = []
    for run in runs:
        states = '; '.join(f'{name} {_state(stage)}'
                           for name, stage in run.stages.items())
        rows.append([
            run.label, run.method, DASH if run.seed is None else str(run.seed),
            run.date or DASH, states
        ])
    return Table('Runs', ['work dir', 'guidance', 'seed', 'began', 'stages'],
                 rows, 5)


def _state(stage: Stage) -> str:
    if stage.state == 'running':
        return f'running{progress_of(stage.history, stage.length)}'
    if stage.state == 'done':
        return number(stage.last)
    return stage.state
