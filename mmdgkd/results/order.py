# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The order of the methods in words that claim no more than the runs show."""
from typing import Dict, List, Sequence, Tuple

from .markdown import NO_RUNS
from .results import METHODS, SETTINGS, Results, by_seed
from .statistics import difference, summarize

# Fewer seeds than these tell their own spread only roughly.
MANY = 5
# A method by its label, and its figure for each seed.
Ranked = Tuple[str, Dict[int, float]]


def order_text(results: Results) -> str:
    """Which methods are better than which, and what cannot be said.

    Args:
        results (Results): All records.

    Returns:
        str: An item a setting.
    """
    items = [
        _setting_text(results, setting) for setting in results.settings
        if results.epochs(setting) is not None
    ]
    items = [item for item in items if item]
    if not items:
        return NO_RUNS
    return '\n'.join([
        'By the best accuracy of the student. Two methods are *separable* if '
        'their means differ by more than two standard deviations of the '
        'difference of single runs, 2 sqrt(s1² + s2²).', '', *items
    ])


def _setting_text(results: Results, setting: str) -> str:
    epochs = results.epochs(setting)
    runs = {
        method.label: by_seed(results.common_students(setting, *method.key))
        for method in METHODS
    }
    runs = {label: figures for label, figures in runs.items() if figures}
    if not runs:
        return ''
    ranked = sorted(
        runs.items(), key=lambda item: -summarize(item[1].values()).mean)
    counts = sorted({len(figures) for figures in runs.values()})
    seeds = ' to '.join(map(str, sorted({counts[0], counts[-1]})))
    words = [
        f'- **{SETTINGS[setting]}** ({epochs} epochs, {seeds} '
        f'{"seed" if counts[-1] == 1 else "seeds"}): '
        f'{_ranks(ranked)}.'
    ]
    words += _groups('Neighbours in this order', list(zip(ranked, ranked[1:])),
                     ('separable', 'not separable', 'the other way round'))
    if results.is_papers:
        labels = [m.label for m in METHODS if m.paper is not None]
        steps = [((two, runs[two]), (one, runs[one]))
                 for one, two in zip(labels, labels[1:])
                 if one in runs and two in runs]
        words += _groups(
            f'The steps of the paper\'s order, {" < ".join(labels)}', steps,
            ('found', 'not separable', 'the other way round'))
    # Is it density, or only that the guides together weigh more?
    words += _groups(
        'DGKD against KD and TAKD of the same total weight',
        [(('DGKD', runs['DGKD']), (label, runs[label]))
         for label in ('equal-weight KD', 'equal-weight TAKD')
         if {'DGKD', label} <= set(runs)],
        ('separable', 'not separable', 'separable, but the other way round'))
    words += _left_out(results, setting, epochs)
    if counts[0] < MANY:
        words.append(
            'With 1 seed nothing is known of the spread.' if counts[-1] ==
            1 else f'With {seeds} seeds the spread itself is known only '
            'roughly.')
    return ' '.join(words)


def _ranks(ranked: Sequence[Ranked]) -> str:
    return ', '.join(f'{label} {summarize(figures.values()).text()}'
                     for label, figures in ranked)


def _groups(what: str, pairs: Sequence[Tuple[Ranked, Ranked]],
            names: Sequence[str]) -> List[str]:
    """Pairs, (supposed better, worse) each, by what can be said of them."""
    yes, no, reverse = names
    one_seed, no_seed = (f'unknown, for want of a {which} seed'
                         for which in ('second', 'common'))
    found: Dict[str, List[str]] = {
        name: []
        for name in (yes, no, reverse, one_seed, no_seed)
    }
    for (better, one), (worse, other) in pairs:
        gap = difference(one, other)
        if gap is None:
            found[no_seed].append(f'{better} and {worse}')
        elif gap.separable is None:
            found[one_seed].append(f'{better} and {worse}')
        elif not gap.separable:
            found[no].append(f'{better} and {worse}')
        elif gap.mean > 0:
            found[yes].append(f'{better} over {worse}')
        else:
            found[reverse].append(f'{worse} over {better}')
    parts = [
        f'{name}: {", ".join(texts)}' for name, texts in found.items() if texts
    ]
    return [f'{what}: {"; ".join(parts)}.'] if parts else []


def _left_out(results: Results, setting: str, epochs: int) -> List[str]:
    """Who was trained for another time is not compared, but named."""
    others = [
        f'{method.label} ({length} epochs)' for method in METHODS
        for length in results.students(setting, *method.key)
        if length != epochs
    ]
    return [f'Not compared: {", ".join(others)}.'] if others else []
