# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What was trained and what came out, in a sentence or two."""
from typing import Dict, List, Optional, Sequence

from .groups import Group, Variant
from .words import listed, unit_of


def headline(groups: Sequence[Group],
             variants: Sequence[Variant]) -> List[str]:
    """Say it.

    Args:
        groups (Sequence[Group]): What was trained.
        variants (Sequence[Variant]): The kinds of runs.

    Returns:
        list[str]: Sentences.
    """
    names, chains = variants[0].names, chains_of(variants)
    if len(chains) > 1:
        what = f'{len(chains)} chains, {listed(chains)}, were'
    elif len(names) > 1:
        what = f'A chain of {len(names)} networks, {chains[0]}, was'
    else:
        what = f'The network {chains[0]} was'
    if len(variants) > 1:
        how = (f'in {len(variants)} ways '
               f'({", ".join(variant.method for variant in variants)})')
    else:
        how = variants[0].method
        how = how if how == 'alone' else f'as {how}'
    runs = sum(len(variant.runs) for variant in variants)
    sentences = [
        f'{what} trained {how}, {runs} {"runs" if runs > 1 else "run"}.'
    ]
    by_student: Dict[str, Variant] = {}
    for variant in variants:
        by_student.setdefault(variant.names[-1], variant)
    for variant in by_student.values():
        sentences += _outcome(groups, variant)
    return sentences + _unfinished(variants)


def chains_of(variants: Sequence[Variant]) -> List[str]:
    """Each chain that was trained, such as ``a → b → c``.

    Args:
        variants (Sequence[Variant]): The kinds of runs.
    """
    return list(dict.fromkeys(' → '.join(one.names) for one in variants))


def _outcome(groups: Sequence[Group], variant: Variant) -> List[str]:
    """What became of the student, and what the teacher is."""
    names = variant.names
    found = [
        group for group in groups
        if group.network == names[-1] and group.last.mean is not None
    ]
    if not found:
        return []
    metric = found[0].first.metric
    unit = unit_of(metric)
    role = 'The student' if len(names) > 1 else ''
    text = f'{role} {names[-1]}{_share(variant)} ended with {metric} '.lstrip()
    if len(found) == 1:
        text += f'{found[0].last}{unit}{_seeds(found[0])}'
        text += f' (best epoch: {found[0].best}{unit})'
    else:
        text += listed([
            f'{group.last}{unit} {_by(group)}{_seeds(group)}'
            for group in found
        ])
    teachers = [
        group for group in groups
        if group.network == names[0] and group.last.mean is not None
    ]
    if len(names) > 1 and len(teachers) == 1:
        text += (f'; the teacher {names[0]} with '
                 f'{teachers[0].last}{unit}{_seeds(teachers[0])}')
    return [f'{text}, after the last epoch.']


def _share(variant: Variant) -> str:
    first, last = (variant.stage(variant.names[i]) for i in (0, -1))
    if first is last or not first.params or not last.params:
        return ''
    share = f'{last.params / first.params:.0%} of its teacher\'s parameters'
    if first.macs and last.macs:
        share += f' and {last.macs / first.macs:.0%} of its operations'
    return f', with {share},'


def _by(group: Group) -> str:
    return group.method if group.method.startswith('alone') else (
        f'by {group.method}')


def _seeds(group: Group) -> str:
    return f' (n={len(group.done)})' if len(group.done) > 1 else ''


def _unfinished(variants: Sequence[Variant]) -> List[str]:
    waiting: List[str] = []
    total = 0
    for variant in variants:
        for run in variant.runs:
            for stage in run.stages.values():
                total += stage.state != 'given'
                if stage.state not in ('done', 'given'):
                    progress = progress_of(stage.history, stage.length)
                    waiting.append(f'{stage.name} of {run.label} is '
                                   f'{stage.state}'
                                   f'{progress if stage.history else ""}')
    if not waiting:
        return []
    more = f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''
    return [
        f'Not finished: {len(waiting)} of {total} stages '
        f'({"; ".join(waiting[:3])}{more}); they are not counted.'
    ]


def progress_of(history: Sequence, length: Optional[int]) -> str:
    """Such as ``, 3 of 8``, or ``, 3 so far``."""
    step = history[-1][0] if history else 0
    return f', {step} of {length}' if length else f', {step} so far'
