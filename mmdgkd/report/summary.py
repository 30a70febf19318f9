# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The summary of a report, and the values of its tables of facts."""
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .formatting import (DASH, format_list, format_number, format_progress,
                         unit_of)
from .groups import Group, Variant
from .records import Run, Stage

_VERSIONS = ('python', 'torch', 'mmengine', 'mmpretrain', 'mmrazor', 'mmdgkd')


def chains_of(variants: Sequence[Variant]) -> list[str]:
    """Each chain that was trained, such as ``a → b → c``."""
    return list(dict.fromkeys(' → '.join(one.names) for one in variants))


def summarize(groups: Sequence[Group], variants: Sequence[Variant]) -> str:
    """What was trained, and the results of the students: some sentences."""
    names, chains = variants[0].names, chains_of(variants)
    if len(chains) > 1:
        what = f'{len(chains)} chains, {format_list(chains)}, were'
    elif len(names) > 1:
        what = f'A chain of {len(names)} networks, {chains[0]}, was'
    else:
        what = f'The network {chains[0]} was'
    how = ', '.join(variant.method for variant in variants)
    if len(variants) > 1:
        how = f'in {len(variants)} ways ({how})'
    elif how != 'alone':
        how = f'as {how}'
    runs = sum(len(variant.runs) for variant in variants)
    sentences = [f'{what} trained {how}, {runs} run{"s" * (runs > 1)}.']
    by_student: dict[str, Variant] = {}
    for variant in variants:
        by_student.setdefault(variant.names[-1], variant)
    for variant in by_student.values():
        sentences += _result(groups, variant)
    return ' '.join([*sentences, *_unfinished(variants)])


def _result(groups: Sequence[Group], variant: Variant) -> list[str]:
    """The metric of the student and of the teacher."""
    teacher, student = ([
        group for group in groups if group.network == name and group.done
    ] for name in (variant.names[0], variant.names[-1]))
    # By their files: another chain may have a teacher of the same name.
    files = {stage.wrote for stage in variant.stages(variant.names[0])}
    teacher = [
        group for group in teacher
        if any(stage.wrote in files for stage in group.done)
    ]
    if not student:
        return []
    metric = student[0].first.metric
    unit = unit_of(metric)
    chained = len(variant.names) > 1
    text = (f'{"The student " if chained else ""}{student[0].network}'
            f'{_share(variant)} ended with {metric} ')
    if len(student) == 1:
        text += (f'{student[0].last}{unit}{_seeds(student[0])} '
                 f'(best epoch: {student[0].best}{unit})')
    else:
        text += format_list(
            f'{group.last}{unit} '
            f'{"" if group.method.startswith("alone") else "by "}'
            f'{group.method}{_seeds(group)}' for group in student)
    if chained and len(teacher) == 1:
        text += (f'; the teacher {teacher[0].network} with '
                 f'{teacher[0].last}{unit}{_seeds(teacher[0])}')
    return [f'{text}, after the last epoch.']


def _share(variant: Variant) -> str:
    first, last = (variant.stage(variant.names[i]) for i in (0, -1))
    if first is last or not first.params or not last.params:
        return ''
    share = f'{last.params / first.params:.0%} of its teacher\'s parameters'
    if first.macs and last.macs:
        share += f' and {last.macs / first.macs:.0%} of its operations'
    return f', with {share},'


def _seeds(group: Group) -> str:
    return f' (n={len(group.done)})' if len(group.done) > 1 else ''


def _unfinished(variants: Sequence[Variant]) -> list[str]:
    stages = [(run, stage) for variant in variants for run in variant.runs
              for stage in run.stages.values() if stage.state != 'given']
    waiting = [
        f'{stage.name} of {run.label} is {stage.state}'
        f'{format_progress(stage) if stage.history else ""}'
        for run, stage in stages if stage.state != 'done'
    ]
    if not waiting:
        return []
    more = f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''
    return [
        f'Not finished: {len(waiting)} of {len(stages)} stages '
        f'({"; ".join(waiting[:3])}{more}); they are not counted.'
    ]


def state_of(stages: Sequence[Stage]) -> str:
    """Such as ``done``, ``running, 3 of 8`` or ``2 done, 1 pending``."""
    states = Counter(stage.state for stage in stages)
    if len(states) > 1:
        return ', '.join(f'{n} {state}' for state, n in states.items())
    state = stages[0].state
    if state == 'running' and len(stages) == 1:
        state += format_progress(stages[0])
    return state


def states_of(run: Run) -> str:
    """Such as ``big 98.50; small running, 3 of 8``."""
    return '; '.join(f'{name} {state_of([stage])}' if stage.state !=
                     'done' else f'{name} {format_number(stage.last)}'
                     for name, stage in run.stages.items())


def settings_of(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """The settings of the runs; by method where they differ."""
    runs = [run for variant in variants for run in variant.runs]
    rows = [('config', _distinct((run.config for run in runs), ', ')),
            ('seeds',
             _distinct(sorted({run.seed
                               for run in runs} - {None}), ', '))]
    settings = {one.method: one.runs[0].settings for one in variants}
    for key in dict.fromkeys(key for one in settings.values() for key in one):
        methods: dict[str, list[str]] = {}
        for method, one in settings.items():
            if one.get(key, '-') != '-':
                methods.setdefault(one[key], []).append(method)
        rows.append((key, '; '.join(
            f'{", ".join(some)}: {value}' if len(methods) > 1 else value
            for value, some in methods.items()) or DASH))
    return rows


def versions_of(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """Versions and devices of the trainings."""
    found = [
        stage.environment for variant in variants for run in variant.runs
        for stage in run.stages.values() if stage.state in ('done', 'running')
    ]
    return [
        (name, _distinct(one.get('versions', {}).get(name) for one in found))
        for name in _VERSIONS
    ] + [(key, _distinct(one.get(key) for one in found))
         for key in ('device', 'processes')]


def _distinct(values: Iterable[Any], separator: str = '; ') -> str:
    known = dict.fromkeys(
        DASH if value is None else str(value) for value in values)
    return separator.join(known) or DASH
