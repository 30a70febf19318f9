# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How many test images two networks of a chain both get wrong.

The paper's "error avalanche": what a larger network gets wrong, the smaller
one learns from it.
"""
import dataclasses
from typing import List, Tuple

from .record import Record, errors
from .record_check import TEST_IMAGES
from .results import Results


@dataclasses.dataclass(frozen=True)
class Overlap:
    """The errors of a larger network i and a smaller one j, per seed of j.

    Attributes:
        pair (tuple[str, str]): Larger and smaller.
        both (list[int]): Images that both get wrong, :math:`|E_i \\cap E_j|`.
        given (list[float]): P(Ej | Ei): the share of the larger's errors that
            the smaller makes too, in percent.
        smaller (list[float]): P(Ej): the share of all images that the smaller
            gets wrong, in percent; without any relation ``given`` is as
            large.
    """

    pair: Tuple[str, str]
    both: List[int]
    given: List[float]
    smaller: List[float]

    @property
    def ratio(self) -> List[float]:
        """P(Ej | Ei) / P(Ej): how much more likely an error is inherited."""
        return [
            given / share if share else 1.
            for given, share in zip(self.given, self.smaller)
        ]


def chain_pairs(results: Results) -> List[Tuple[str, str]]:
    """Neighbours in the chain, and at last the teacher and the student.

    Args:
        results (Results): All records.
    """
    names = results.chain
    pairs = list(zip(names, names[1:]))
    if len(names) > 2:
        pairs.append((names[0], names[-1]))
    return pairs


def chain_overlaps(results: Results, setting: str,
                   method: str) -> List[Overlap]:
    """The overlaps along a chain, and at last the teacher's and student's.

    Args:
        results (Results): All records.
        setting (str): The setting.
        method (str): ``'takd'`` or ``'dgkd'``.

    Returns:
        list[Overlap]: Of the pairs whose errors are recorded. Guides of
        another setting are not repeated.
    """
    found = []
    for pair in chain_pairs(results):
        if (pair[1] != results.chain[-1]
                and results.guides_from(setting) != setting):
            continue
        larger, smaller = (
            _networks(results, setting, method, name) for name in pair)
        if larger and smaller:
            found.append(_overlap(pair, larger[0], smaller))
    return found


def _networks(results: Results, setting: str, method: str,
              name: str) -> List[Record]:
    """The networks of that name, with the length of most students."""
    if name == results.chain[-1]:
        records = results.common_students(setting, method)
    else:
        guide = results.guide(setting, method, name)
        records = [guide] if guide is not None else []
    return [record for record in records if record.wrong is not None]


def _overlap(pair: Tuple[str, str], larger: Record,
             smaller: List[Record]) -> Overlap:
    first = errors(larger)
    both, given, share = [], [], []
    for record in smaller:
        second = errors(record)
        both.append(int((first & second).sum()))
        # A larger network without any error has none to hand on.
        given.append(100 * both[-1] / max(1, int(first.sum())))
        share.append(100 * int(second.sum()) / TEST_IMAGES)
    return Overlap(pair, both, given, share)
