# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The order of the methods in words that claim no more than the runs show."""
from typing import Dict, List, Mapping, Sequence, Tuple

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
        str: An item a setting: by the best epoch, and by the last one.
    """
    items = [
        _setting_text(results, setting) for setting in results.settings
        if results.epochs(setting) is not None
    ]
    items = [item for item in items if item]
    if not items:
        return NO_RUNS
    return '\n'.join([
        'Two methods are *separable* if their means differ by more than two '
        'standard deviations of the difference of single runs, '
        '2 sqrt(s1² + s2²).', '', *items
    ])


def _setting_text(results: Results, setting: str) -> str:
    epochs = results.epochs(setting)
    runs, last = (_runs(results, setting, key) for key in ('best', 'last'))
    if not runs:
        return ''
    ranked = _ranked(runs)
    counts = sorted({len(figures) for figures in runs.values()})
    seeds = ' to '.join(map(str, sorted({counts[0], counts[-1]})))
    words = [f'By the best epoch: {_ranks(ranked)}.']
    words += _groups('Neighbours in this order', list(zip(ranked, ranked[1:])),
                     ('separable', 'not separable', 'the other way round'))
    if results.is_papers():
        labels = [m.label for m in METHODS if m.paper is not None]
        steps = [((two, runs[two]), (one, runs[one]))
                 for one, two in zip(labels, labels[1:])
                 if one in runs and two in runs]
        words += _groups(
            f'The steps of the paper\'s order, {" < ".join(labels)}', steps,
            ('found', 'not separable', 'the other way round'))
    # Is it density, or only that the guides together weigh more?
    are_controls = not results.has_one_weight(setting)
    rivals = [
        m.label for m in METHODS
        if m.name in ('KD', 'TAKD') and m.is_control == are_controls
    ]
    words += _groups(
        'DGKD against KD and TAKD of the same total weight',
        [(('DGKD', runs['DGKD']), (label, runs[label]))
         for label in rivals if {'DGKD', label} <= set(runs)],
        ('separable', 'not separable', 'separable, but the other way round'))
    words.append(f'By the last epoch: {_ranks(_ranked(last))}.')
    if 'alone' in last:
        words += _groups(
            'Against the student alone by the last epoch',
            [((label, figures), ('alone', last['alone']))
             for label, figures in _ranked(last) if label != 'alone'],
            ('above', 'not separable', 'below'))
    words += _left_out(results, setting, epochs)
    if counts[0] < MANY:
        words.append(
            'With 1 seed nothing is known of the spread.' if counts[-1] ==
            1 else f'With {seeds} seeds the spread itself is known only '
            'roughly.')
    head = (f'- **{SETTINGS[setting]}** ({epochs} epochs, {seeds} '
            f'{"seed" if counts[-1] == 1 else "seeds"}):')
    return '\n  - '.join([head, *words])


def _runs(results: Results, setting: str,
          key: str) -> Dict[str, Dict[int, float]]:
    """The figures of each method that has some, by seed."""
    runs = {
        method.label:
        by_seed(results.common_students(setting, *method.key), key)
        for method in METHODS
    }
    return {label: figures for label, figures in runs.items() if figures}


def _ranked(runs: Mapping[str, Dict[int, float]]) -> List[Ranked]:
    return sorted(
        runs.items(), key=lambda item: -summarize(item[1].values()).mean)


def _ranks(ranked: Sequence[Ranked]) -> str:
    """Each with its number of seeds, unless all have the same."""
    one_count = len({len(figures) for _, figures in ranked}) == 1
    return ', '.join(f'{label} {summarize(figures.values()).text()}' +
                     ('' if one_count else f' (n = {len(figures)})')
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
