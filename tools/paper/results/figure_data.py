# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is drawn, as plain mappings; each is empty if its data is missing.

All students of a setting are of one length: that of most of them.
"""
from typing import Any, Dict, List, Sequence

from .overlap import chain_overlaps, chain_pairs
from .record import Record
from .results import (METHODS, PAPER_TAS, SETTINGS, Results, number_of_tas,
                      survivals, ta_counts)

Data = Dict[str, Any]


def methods(results: Results) -> Data:
    """The best accuracy of each seed, by setting and method.

    Args:
        results (Results): All records.
    """
    data: Data = {}
    for setting in results.settings:
        rows = [
            dict(
                label=method.label,
                best=_best(results.common_students(setting, *method.key)),
                paper=method.paper if results.is_papers(setting) else None)
            for method in METHODS
        ]
        rows = [row for row in rows if row['best']]
        if rows:
            data[setting] = dict(title=_title(results, setting), rows=rows)
    return data


def overlaps(results: Results) -> Data:
    """The errors that pairs of networks share, TAKD's and DGKD's.

    Args:
        results (Results): All records.

    Returns:
        dict: Only settings in which both methods have the last pair, that of
        the teacher and the student.
    """
    data: Data = {}
    for setting in results.settings:
        found = {
            method: chain_overlaps(results, setting, method)
            for method in ('takd', 'dgkd')
        }
        shown = [{overlap.pair
                  for overlap in of_one} for of_one in found.values()]
        pairs = chain_pairs(results)
        if pairs and all(pairs[-1] in of_one for of_one in shown):
            data[setting] = dict(
                title=_title(results, setting),
                pairs=[
                    list(pair) for pair in pairs
                    if any(pair in of_one for of_one in shown)
                ],
                methods={
                    method: [
                        dict(
                            pair=list(overlap.pair),
                            both=overlap.both,
                            given=overlap.given,
                            smaller=overlap.smaller) for overlap in of_one
                    ]
                    for method, of_one in found.items()
                })
    return data


def numbers_of_tas(results: Results) -> Data:
    """The best accuracies by the number of TAs.

    Args:
        results (Results): All records.
    """
    data: Data = {}
    for setting in results.settings:
        counts = ta_counts(results, setting)
        if not counts:
            continue
        data[setting] = dict(
            title=_title(results, setting),
            alone=_best(results.common_students(setting, 'alone')),
            methods={
                method: [[
                    count,
                    _best(
                        results.common_students(
                            setting, *number_of_tas(results, method, count)))
                ] for count in counts]
                for method in ('takd', 'dgkd')
            },
            paper={
                method:
                [[count, PAPER_TAS[count][at]] for count in counts
                 if count in PAPER_TAS] if results.is_papers(setting) else []
                for at, method in enumerate(('takd', 'dgkd'))
            })
    return data


def survival(results: Results) -> Data:
    """The best accuracies by the survival probability of a guide.

    Args:
        results (Results): All records.

    Returns:
        dict: Only settings with more than one probability below 1.
    """
    data: Data = {}
    for setting in results.settings:
        points = [[
            keep, 'count'
            if method == 'dgkd_stochastic' and variant is None else 'chance',
            _best(results.common_students(setting, method, variant))
        ] for keep, method, variant in survivals(results, setting)]
        points = [point for point in points if point[2]]
        if len({point[0] for point in points if point[0] < 1}) > 1:
            paper = {
                m.method: m.paper
                for m in METHODS if m.method.startswith('dgkd')
            }
            data[setting] = dict(
                title=_title(results, setting),
                points=points,
                paper=[[0.75, paper['dgkd_stochastic']], [1, paper['dgkd']]]
                if results.is_papers(setting) else [])
    return data


def learning_curves(results: Results, setting: str) -> Data:
    """The accuracy of the students after each epoch, by method.

    Args:
        results (Results): All records.
        setting (str): The setting.
    """
    curves = {}
    for method in METHODS:
        records = results.common_students(setting, *method.key)
        if records:
            curves[method.label] = [[list(point) for point in record.history]
                                    for record in records]
    if not curves:
        return {}
    return dict(title=_title(results, setting), curves=curves)


def _best(records: Sequence[Record]) -> List[float]:
    return [record.best for record in records]


def _title(results: Results, setting: str) -> str:
    return f'{SETTINGS[setting]}, {results.epochs(setting)} epochs'
