# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables: what each method has come to, and why.

Runs of different lengths are never averaged: a row is of one length, and a
difference between two lengths is a dash.
"""
from typing import Dict, Iterable, List, Optional, Sequence

from .markdown import NO_RUNS, cell, gain, table
from .order import order_text
from .overlap import Overlap, chain_overlaps, chain_pairs
from .record import Record
from .results import (METHODS, PAPER_SOURCE, PAPER_TAS, SETTINGS, Method,
                      Results, by_seed, number_of_tas, survivals, ta_counts)
from .statistics import Summary, difference, summarize

_GAIN = ('Differences are over the seeds that both have, in brackets their '
         'standard error; \\* is more than two standard '
         'deviations, 2 sqrt(s1² + s2²) of single runs.')


def blocks(results: Results) -> Dict[str, str]:
    """All tables in Markdown, by the names of their marks.

    Args:
        results (Results): All records.
    """
    found = {'short': short_table(results), 'order': order_text(results)}
    for setting in SETTINGS:
        found[setting] = main_table(results, setting)
        found[f'{setting}-guides'] = guides_table(results, setting)
    found['number-of-tas'] = tas_table(results)
    found['survival'] = survival_table(results)
    found['overlap'] = overlap_table(results)
    return found


def main_table(results: Results, setting: str) -> str:
    """What the student of each method has come to in a setting.

    Args:
        results (Results): All records.
        setting (str): The setting.
    """
    if results.epochs(setting) is None:
        return NO_RUNS
    rows = []
    alone = results.students(setting, 'alone')
    for method in METHODS:
        students = results.students(setting, *method.key)
        paper = _paper(results, method)
        if not students and not _is_idle(results, setting, method):
            rows.append([method.label] + ['-'] * 6 + [paper])
        for epochs, records in students.items():
            # Alone against itself is no gain.
            other = {} if method.method == 'alone' else by_seed(
                alone.get(epochs, ()))
            rows.append([
                method.label,
                cell(_summary(records, 'best')),
                cell(_summary(records, 'last')),
                str(len(records)),
                str(epochs),
                gain(difference(by_seed(records), other)),
                _weight(records), paper
            ])
    heads = ('student', 'best, %', 'last, %', 'n', 'epochs',
             'gain of best over alone', 'KD weight', 'paper')
    notes = [
        f'Top-1 accuracy on the test images. {_spread()}', _GAIN,
        'KD weight: of all KD terms together, in units of one guide\'s; '
        'equal-weight KD and TAKD have that of DGKD.',
        *_foreign_guides(results, [setting]), *_source(results)
    ]
    return _with_notes(table(heads, rows), notes)


def guides_table(results: Results, setting: str) -> str:
    """What the teacher and the TAs of a setting have come to.

    Args:
        results (Results): All records.
        setting (str): The setting.
    """
    names = results.chain[:-1]
    if not names or setting not in results.settings:
        return NO_RUNS
    if results.guides_from(setting) != setting:
        return ' '.join(_foreign_guides(results, [setting]))
    rows = []
    labels = {method.key: method.label for method in METHODS}
    order = list(labels)
    for name in names:
        found = [
            record for record in results.records
            if (record.setting, record.network) == (setting, name)
        ]
        found.sort(key=lambda record: (order.index(
            (record.method, None)), record.variant or '', record.seed))
        for record in found:
            label = labels.get((record.method, record.variant),
                               f'{record.method} {record.variant}')
            if name == names[0]:
                label = 'teacher'
            elif record.guides == names[:1] and record.method == 'dgkd':
                label = 'DGKD and TAKD'
            rows.append([
                name, label, ', '.join(record.guides) or '-',
                f'{record.best:.2f}', f'{record.last:.2f}',
                str(record.epochs),
                str(record.seed)
            ])
        if not found:
            rows.append([name] + ['-'] * 6)
    return table(
        ('network', 'of', 'guides', 'best, %', 'last, %', 'epochs', 'seed'),
        rows)


def short_table(results: Results) -> str:
    """The best accuracy of each method, a column a setting.

    The short recipe, which is there for its ablations, is left out.

    Args:
        results (Results): All records.
    """
    settings = [
        setting for setting in results.settings if
        results.epochs(setting) is not None and not setting.startswith('short')
    ]
    if not settings:
        return NO_RUNS
    rows, counts = [], set()
    for method in METHODS:
        cells = []
        for setting in settings:
            runs = results.common_students(setting, *method.key)
            counts.add(len(runs))
            idle = not runs and _is_idle(results, setting, method)
            cells.append(
                f'= {method.name}' if idle else cell(_summary(runs, 'best')))
        if set(cells) != {'-'} or method.variant is None:
            rows.append([method.label, *cells, _paper(results, method)])
    heads = ['student'] + [
        f'{SETTINGS[setting]}, {results.epochs(setting)} epochs'
        for setting in settings
    ]
    notes = [
        'Best top-1 accuracy on the test images, %. '
        f'{_spread(counts)}'
    ]
    if any(results.has_one_weight(setting) for setting in settings):
        notes.append('=: in that recipe all methods have one total weight.')
    notes += _foreign_guides(results, settings) + _source(results)
    return _with_notes(table(heads + ['paper'], rows), notes)


def tas_table(results: Results) -> str:
    """TAKD and DGKD with other numbers of TAs, down to plain KD.

    Args:
        results (Results): All records.
    """
    rows = []
    for setting in results.settings:
        for count in ta_counts(results, setting):
            takd, dgkd = (
                results.students(setting,
                                 *number_of_tas(results, method, count))
                for method in ('takd', 'dgkd'))
            paper = PAPER_TAS.get(count) if results.is_papers() else None
            for epochs in list({**takd, **dgkd}) or [None]:
                one, two = takd.get(epochs, []), dgkd.get(epochs, [])
                gap = None if count == 0 else difference(
                    by_seed(two), by_seed(one))
                # Of TAKD and of DGKD, or of both.
                counts = dict.fromkeys(len(runs) for runs in (one, two))
                rows.append([
                    SETTINGS[setting],
                    str(count) + (' (KD)' if count == 0 else ''),
                    cell(_summary(one, 'best')),
                    cell(_summary(two, 'best')),
                    gain(gap), ' / '.join(map(str, counts)),
                    str(epochs or '-'),
                    *([f'{figure:.2f}'
                       for figure in paper] if paper else ['-', '-'])
                ])
    if not rows:
        return NO_RUNS
    return _with_notes(
        table(('setting', 'TAs', 'TAKD best, %', 'DGKD best, %', 'DGKD - TAKD',
               'n', 'epochs', 'TAKD, paper', 'DGKD, paper'), rows), [
                   'n: of TAKD / of DGKD, where they differ.',
                   _spread(), _GAIN, *_source(
                       results, f'with 7 TAs {PAPER_TAS[7][0]} (TAKD) and '
                       f'{PAPER_TAS[7][1]} (DGKD)')
               ])


def survival_table(results: Results) -> str:
    """Stochastic DGKD with other survival probabilities of a guide.

    Args:
        results (Results): All records.
    """
    rows = []
    for setting in results.settings:
        whole = results.students(setting, 'dgkd')
        for keep, method, variant in survivals(results, setting):
            kind = 'each by chance' if variant else 'exactly one silent'
            if method == 'dgkd':
                kind = 'all speak (DGKD)'
            found = results.students(setting, method, variant)
            if not found:
                rows.append([SETTINGS[setting], f'{keep:g}', kind] + ['-'] * 5)
            for epochs, records in found.items():
                other = {} if method == 'dgkd' else by_seed(
                    whole.get(epochs, ()))
                rows.append([
                    SETTINGS[setting], f'{keep:g}', kind,
                    cell(_summary(records, 'best')),
                    cell(_summary(records, 'last')),
                    gain(difference(by_seed(records), other)),
                    str(len(records)),
                    str(epochs)
                ])
    if not rows:
        return NO_RUNS
    return _with_notes(
        table(('setting', 'survival', 'guides', 'best, %', 'last, %',
               'best against DGKD', 'n', 'epochs'), rows), [
                   'At least one guide speaks: where chance would have none, '
                   'one is drawn.',
                   _spread(), _GAIN
               ])


def overlap_table(results: Results) -> str:
    """Errors that two networks of a chain share, TAKD beside DGKD.

    Args:
        results (Results): All records.
    """
    rows, counts = [], set()
    for setting in results.settings:
        found = {
            method: {
                o.pair: o
                for o in chain_overlaps(results, setting, method)
            }
            for method in ('takd', 'dgkd')
        }
        for pair in chain_pairs(results):
            if not any(pair in overlaps for overlaps in found.values()):
                continue
            counts |= {
                len(overlaps[pair].both)
                for overlaps in found.values() if pair in overlaps
            }
            row = [SETTINGS[setting], ' → '.join(pair)]
            for overlaps in found.values():
                row += _overlap_cells(overlaps.get(pair))
            rows.append(row)
    if not rows:
        return NO_RUNS
    heads = ['setting', 'i → j'] + [
        f'{label}: {what}' for label in ('TAKD', 'DGKD')
        for what in ('both wrong', 'P(Ej given Ei), %', 'P(Ej), %', 'ratio')
    ]
    note = ('Of 10,000 test images, last epoch: how many both networks get '
            'wrong; which share of the errors of i are errors of j; which '
            'share of all images are errors of j. Fewer errors of j alone '
            'make fewer in common, hence the ratio of the two: 1 would be no '
            'relation. The last pair of a setting is teacher and student; '
            'pairs of guides that are of another setting stand in the rows of '
            'that. ')
    return _with_notes(table(heads, rows), [note + _spread(counts)])


def _overlap_cells(overlap: Optional[Overlap]) -> List[str]:
    if overlap is None:
        return ['-'] * 4
    both = summarize(overlap.both)
    spread = '' if both.sd is None else f' ± {both.sd:.0f}'
    return [
        f'{both.mean:,.0f}{spread}',
        summarize(overlap.given).text(1),
        summarize(overlap.smaller).text(1),
        summarize(overlap.ratio).text(2)
    ]


def _is_idle(results: Results, setting: str, method: Method) -> bool:
    """Where all methods have the same weight there is no such control."""
    return method.is_control and results.has_one_weight(setting)


def _paper(results: Results, method: Method) -> str:
    if method.paper is None or not results.is_papers():
        return '-'
    return f'{method.paper:.2f}'


def _source(results: Results, *more: str) -> List[str]:
    """Where the paper's figures are from."""
    if not results.is_papers():
        return []
    return ['; '.join([f'Paper: {PAPER_SOURCE}', *more]) + '.']


def _foreign_guides(results: Results, settings: Sequence[str]) -> List[str]:
    """Where students hear guides that were trained in another setting."""
    hearing: Dict[str, List[str]] = {}
    for setting in settings:
        source = results.guides_from(setting)
        if source != setting:
            hearing.setdefault(source, []).append(f'*{SETTINGS[setting]}*')
    return [
        f'In {" and ".join(names)} the students hear the teacher and the TAs '
        f'of *{SETTINGS[source]}*: the same files, by their sha256.'
        for source, names in hearing.items()
    ]


def _summary(records: Sequence[Record], key: str) -> Optional[Summary]:
    return summarize(by_seed(records, key).values())


def _spread(counts: Iterable[int] = ()) -> str:
    """What ± is; over so many runs each, where no column says that."""
    counts = sorted(set(counts) - {0})
    runs = 'n runs'
    if counts:
        runs = ' to '.join(map(str, sorted({counts[0], counts[-1]}))) + ' runs'
        if counts[0] == 1:
            runs += '; without ± it is one'
    return ('± is the sample standard deviation over the seeds of the student '
            f'({runs}); teacher and TAs are of one seed.')


def _weight(records: Sequence[Record]) -> str:
    weights = {record.kd_weight for record in records} - {None}
    return ', '.join(f'{weight:g}' for weight in sorted(weights)) or '-'


def _with_notes(drawn: str, notes: Sequence[str]) -> str:
    return '\n\n'.join([drawn, ' '.join(notes)])
