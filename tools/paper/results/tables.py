# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables: the accuracy of each method, and why.

Runs of different lengths are never averaged: a row is of one length, and a
difference between two lengths is a dash.
"""
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import pandas as pd

from mmdgkd.report.methods import METHOD_STYLES
from .markdown import NO_RUNS, table
from .results import (METHODS, PAPER_SOURCE, PAPER_TAS, SETTINGS, Results,
                      chain_pairs, overlaps, survival_runs, tas_runs)
from .statistics import difference, mean_sd

_GAIN = ('Differences are over the seeds that both have, in brackets their '
         'standard error; \\* is more than two standard '
         'deviations, 2 sqrt(s1² + s2²) of single runs.')


def blocks(results: Results) -> Dict[str, str]:
    """All tables in Markdown, by the names of their marks."""
    found = {'short': short_table(results), 'order': order_table(results)}
    for setting in SETTINGS:
        found[setting] = main_table(results, setting)
        found[f'{setting}-teachers'] = teachers_table(results, setting)
    found['number-of-tas'] = tas_table(results)
    found['survival'] = survival_table(results)
    found['overlap'] = overlap_table(results)
    return found


def main_table(results: Results, setting: str) -> str:
    """The accuracy of the student of each method in a setting."""
    students = results.students[results.students['setting'] == setting]
    if students.empty:
        return NO_RUNS
    rows = []
    alone = students[students['label'] == 'alone']
    for label in METHODS:
        found = students[students['label'] == label]
        paper = _paper(results, label)
        if found.empty and not _is_same(results, setting, label):
            rows.append([label, *'------', paper])
        for epochs, runs in _groups(found):
            weights = sorted(set(runs['kd_weight'].dropna()))
            rows.append([
                label,
                mean_sd(runs['best']),
                mean_sd(runs['last']),
                str(len(runs)),
                str(epochs),
                # Alone against itself is no gain.
                _gain(runs, alone if label != 'alone' else None),
                ', '.join(f'{weight:g}' for weight in weights) or '-',
                paper
            ])
    heads = ('student', 'best, %', 'last, %', 'n', 'epochs',
             'gain of best over alone', 'KD weight', 'paper')
    notes = [
        f'Top-1 accuracy on the test images. {_spread()}', _GAIN,
        'KD weight: of all KD terms together, in units of one teacher\'s; '
        'equal-weight KD and TAKD have that of DGKD.',
        *_foreign_teachers(results, [setting]), *_source(results)
    ]
    return _with_notes(heads, rows, notes)


def order_table(results: Results) -> str:
    """The methods of each setting in their order, and which of them differ."""
    rows: List[List[str]] = []
    for setting in results.settings:
        runs = dict(
            list(results.common(setting).groupby('label', observed=True)))
        for label in sorted(
                runs, key=lambda label: -runs[label]['best'].mean()):
            rows.append([results.title(setting), label])
            for key in ('best', 'last'):
                rows[-1] += [
                    mean_sd(runs[label][key]),
                    _differs_from(runs, label, key)
                ]
            rows[-1].append(str(len(runs[label])))
    heads = ('setting', 'student', 'best, %', 'differs from', 'last, %',
             'differs from', 'n')
    note = (
        'Differs from: the means over the seeds that both have differ by more '
        'than two standard deviations of the difference of single runs, '
        '2 sqrt(s1² + s2²). ?: no other method has two seeds in common with '
        'it. With fewer than five seeds the spread itself is known only '
        'roughly. Students of other lengths are not compared.')
    return _with_notes(heads, rows, [note])


def _differs_from(runs: Dict[str, pd.DataFrame], label: str, key: str) -> str:
    gaps = {
        other: difference(runs[label][key], found[key])
        for other, found in runs.items() if other != label
    }
    known = {other: gap for other, gap in gaps.items() if gap and gap.n > 1}
    separable = [other for other, gap in known.items() if gap.is_separable]
    return ', '.join(separable) or ('-' if known else '?')


def teachers_table(results: Results, setting: str) -> str:
    """The accuracy of the teacher and the TAs of a setting."""
    names = results.chain[:-1]
    if setting not in results.settings:
        return NO_RUNS
    if results.teachers_from(setting) != setting:
        return ' '.join(_foreign_teachers(results, [setting]))
    rows = []
    labels = {(*method, ): label for label, method in METHODS.items()}
    frame = results.frame[results.frame['setting'] == setting].assign(
        order=results.frame['method'].map([*METHOD_STYLES].index))
    for name in names:
        found = frame[frame['network'] == name]
        if found.empty:
            rows.append([name, *'------'])
        for _, row in found.sort_values(['order', 'variant',
                                         'seed']).iterrows():
            key = row['method'], row['variant']
            label = labels.get(key, ' '.join(key))
            if name == names[0]:
                label = 'teacher'
            elif row['guides'] == names[:1] and row['method'] == 'dgkd':
                label = 'DGKD and TAKD'
            rows.append([
                name, label, ', '.join(row['guides']) or '-',
                f'{row["best"]:.2f}', f'{row["last"]:.2f}',
                str(row['epochs']),
                str(row['seed'])
            ])
    return table(
        ('network', 'of', 'teachers', 'best, %', 'last, %', 'epochs', 'seed'),
        rows)


def short_table(results: Results) -> str:
    """The best accuracy of each method, a column a setting.

    The short recipe, which is there for its ablations, is left out.
    """
    settings = [
        setting for setting in results.settings
        if results.epochs(setting) and not setting.startswith('short')
    ]
    rows, counts = [], set()
    for label, method in METHODS.items():
        cells = []
        for setting in settings:
            runs = results.common(setting, label)
            counts.add(len(runs))
            is_same = runs.empty and _is_same(results, setting, label)
            cells.append(f'= {method.style.label}'
                         if is_same else mean_sd(runs['best']))
        if set(cells) - {'-'} or settings and not method.variant:
            rows.append([label, *cells, _paper(results, label)])
    heads = ['student', *map(results.title, settings), 'paper']
    notes = [f'Best top-1 accuracy on the test images, %. {_spread(counts)}']
    if any(map(results.has_one_weight, settings)):
        notes.append('=: in that recipe all methods have one total weight.')
    notes += _foreign_teachers(results, settings) + _source(results)
    return _with_notes(heads, rows, notes)


def tas_table(results: Results) -> str:
    """TAKD and DGKD with other numbers of TAs, down to plain KD."""
    rows = []
    for setting, count, epochs, runs in _groups(
            tas_runs(results), 'setting', 'tas'):
        takd, dgkd = (
            runs[runs['method'] == method] for method in ('takd', 'dgkd'))
        # Of TAKD and of DGKD, or of both.
        counts = dict.fromkeys(map(len, (takd, dgkd)))
        paper = PAPER_TAS.get(count) if results.is_papers else None
        rows.append([
            SETTINGS[setting],
            str(count) + (' (KD)' if count == 0 else ''),
            mean_sd(takd['best']),
            mean_sd(dgkd['best']),
            _gain(dgkd, takd if count else None), ' / '.join(map(str, counts)),
            str(epochs),
            *([f'{value:.2f}' for value in paper] if paper else '--')
        ])
    heads = ('setting', 'TAs', 'TAKD best, %', 'DGKD best, %', 'DGKD - TAKD',
             'n', 'epochs', 'TAKD, paper', 'DGKD, paper')
    more = (f'with 7 TAs {PAPER_TAS[7][0]} (TAKD) and {PAPER_TAS[7][1]} '
            '(DGKD)')
    return _with_notes(heads, rows, [
        'n: of TAKD / of DGKD, where they differ.',
        _spread(), _GAIN, *_source(results, more)
    ])


def survival_table(results: Results) -> str:
    """Stochastic DGKD with other survival probabilities of a teacher."""
    rows = []
    students = survival_runs(results)
    for setting, keep, dropped, epochs, runs in _groups(
            students, 'setting', 'keep', 'dropped'):
        dense = students[(students['setting'] == setting)
                         & (students['method'] == 'dgkd')]
        rows.append([
            SETTINGS[setting], f'{keep:g}', dropped,
            mean_sd(runs['best']),
            mean_sd(runs['last']),
            _gain(runs, None if keep == 1 else dense),
            str(len(runs)),
            str(epochs)
        ])
    heads = ('setting', 'survival', 'dropped teachers', 'best, %', 'last, %',
             'best against DGKD', 'n', 'epochs')
    note = ('At least one teacher is kept: where chance would drop all, one '
            'is drawn.')
    return _with_notes(heads, rows, [note, _spread(), _GAIN])


def overlap_table(results: Results) -> str:
    """Errors that two networks of a chain share, TAKD beside DGKD."""
    found = overlaps(results)
    rows, counts = [], set()
    for setting in results.settings:
        for pair in chain_pairs(results):
            of_pair = found[(found['setting'] == setting)
                            & (found['pair'] == pair)]
            if of_pair.empty:
                continue
            row = [SETTINGS[setting], ' → '.join(pair)]
            for method in ('takd', 'dgkd'):
                runs = of_pair[of_pair['method'] == method]
                counts.add(len(runs))
                row += [
                    mean_sd(runs[key], digits)
                    for key, digits in (('both', 0), ('given', 1),
                                        ('smaller', 1), ('ratio', 2))
                ]
            rows.append(row)
    heads = ['setting', 'i → j'] + [
        f'{label}: {what}' for label in ('TAKD', 'DGKD')
        for what in ('both wrong', 'P(Ej given Ei), %', 'P(Ej), %', 'ratio')
    ]
    note = ('Of 10,000 test images, last epoch: how many both networks get '
            'wrong; which share of the errors of i are errors of j; which '
            'share of all images are errors of j. Fewer errors of j alone '
            'make fewer in common, hence the ratio of the two: 1 would be no '
            'relation. The last pair of a setting is teacher and student; '
            'pairs of teachers that are of another setting stand in the rows '
            'of that.')
    return _with_notes(heads, rows, [note, _spread(counts)])


def _groups(students: pd.DataFrame, *keys: str) -> Iterator[Tuple]:
    """Runs that may be averaged: of one length, that of most students first.

    Returns:
        Iterator[tuple]: The values of the keys, the epochs, and the runs.
    """
    is_other = ~students['is_common']
    for (*values, _,
         epochs), runs in students.groupby([*keys, is_other, 'epochs'],
                                           observed=True):
        yield *values, epochs, runs


def _gain(runs: pd.DataFrame, other: Optional[pd.DataFrame]) -> str:
    """Of runs of one length over those of the same length of another."""
    if other is None or runs.empty:
        return '-'
    other = other[other['epochs'] == runs['epochs'].iloc[0]]
    return str(
        difference(
            runs.set_index('seed')['best'],
            other.set_index('seed')['best']) or '-')


def _is_same(results: Results, setting: str, label: str) -> bool:
    """Whether a control is its method: all have the same weight."""
    return METHODS[label].variant != '' and results.has_one_weight(setting)


def _paper(results: Results, label: str) -> str:
    value = results.paper(label)
    return '-' if value is None else f'{value:.2f}'


def _source(results: Results, *more: str) -> List[str]:
    """Where the paper's values are from."""
    if not results.is_papers:
        return []
    return ['; '.join([f'Paper: {PAPER_SOURCE}', *more]) + '.']


def _foreign_teachers(results: Results, settings: Sequence[str]) -> List[str]:
    """Which students have teachers that were trained in another setting."""
    names: Dict[str, List[str]] = {}
    for setting in settings:
        source = results.teachers_from(setting)
        if source != setting:
            names.setdefault(source, []).append(f'*{SETTINGS[setting]}*')
    return [
        f'In {" and ".join(found)} the students have the teacher and the TAs '
        f'of *{SETTINGS[source]}*: the same files, by their sha256.'
        for source, found in names.items()
    ]


def _spread(counts: Iterable[int] = ()) -> str:
    """The note on ±, with the number of runs where no column has it."""
    counts = sorted(set(counts) - {0})
    runs = 'n runs'
    if counts:
        runs = ' to '.join(map(str, sorted({counts[0], counts[-1]}))) + ' runs'
        if counts[0] == 1:
            runs += '; without ± it is one'
    return ('± is the sample standard deviation over the seeds of the student '
            f'({runs}); teacher and TAs are of one seed.')


def _with_notes(heads: Sequence[str], rows: Sequence[Sequence[str]],
                notes: Sequence[str]) -> str:
    return f'{table(heads, rows)}\n\n{" ".join(notes)}' if rows else NO_RUNS
