# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Why these TAs."""
from typing import List, Sequence

from mmdgkd.utils.table import draw_table
from .families import arch_of
from .models import Model, Zoo


def explained(models: Sequence[Model], zoo: Zoo) -> str:
    """Explain a chain: the cost of each network, and its steps.

    Args:
        models (Sequence[Model]): The chain, the largest first.
        zoo (Zoo): What has been counted.
    """
    rows = []
    for i, model in enumerate(models):
        step = f'{models[i - 1].macs / model.macs:.1f}' if i else '-'
        accuracy = ('-' if model.accuracy is None else
                    f'{model.accuracy:.2f} ({model.of})')
        rows.append((model.name, f'{model.macs / 1e6:,.1f} M',
                     f'{model.params:,}', step, accuracy))
    table = draw_table(('network', f'MACs at {zoo.size} px', 'parameters',
                        'times smaller', 'published top 1'), rows)
    return '\n'.join([table, *_reasons(models, zoo)])


def _reasons(models: Sequence[Model], zoo: Zoo) -> List[str]:
    teacher, *tas, student = models
    ratio = teacher.macs / student.macs
    equal = ratio**(1 / (len(models) - 1))
    lines = [
        f'MACs: {ratio:.1f} times fewer in {len(models) - 1} steps, of '
        f'{equal:.1f} times each if they were equal. Others of these '
        'families: ' + _others(models, zoo)
    ] if tas else []
    known = teacher.accuracy is not None and student.accuracy is not None
    advice = ('The best TA had the mean of the accuracies of teacher and '
              'student in TAKD (arXiv 1902.03393)')
    if known and teacher.of == student.of:
        mean = (teacher.accuracy + student.accuracy) / 2
        near = [model for model in zoo.counted if model.of == teacher.of]
        near = [
            model for model in near if student.macs < model.macs < teacher.macs
        ]
        best = min(
            near, key=lambda model: abs(model.accuracy - mean), default=None)
        nearest = '' if best is None else (
            f'; {arch_of(best.name)} is nearest, {best.accuracy:.2f}')
        return lines + [f'{advice}: here {mean:.2f} on {teacher.of}{nearest}.']
    return lines + [
        f'{advice}: theirs on your images are known after a training with '
        '--guidance none.'
    ]


def _others(models: Sequence[Model], zoo: Zoo) -> str:
    teacher, student = models[0], models[-1]
    others = [
        f'{model.name} ({model.macs / 1e6:,.1f} M)'
        for model in sorted(zoo.counted, key=lambda model: -model.macs)
        if model not in models and student.macs < model.macs < teacher.macs
    ]
    return f'{", ".join(others) or "none"}.'
