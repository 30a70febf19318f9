# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Mean, spread and difference of a few runs.

The spread is always the *sample* standard deviation (divided by n - 1) over
the seeds. Differences are unpaired, with Welch's spread (each method keeps its
own): three seeds are too few to tell how much of the spread two methods share.
"""
import dataclasses
import math
from statistics import fmean, stdev
from typing import Iterable, Mapping, Optional

# Two methods are separable if their means differ by more than so many standard
# deviations of the difference of two single runs.
SEPARABLE = 2


@dataclasses.dataclass(frozen=True)
class Summary:
    """Several runs of the same.

    Attributes:
        mean (float): Their mean.
        sd (float, optional): Their sample standard deviation; None for one
            run.
        n (int): How many they are.
    """

    mean: float
    sd: Optional[float]
    n: int

    def text(self, digits: int = 2) -> str:
        """Such as ``50.15 ± 0.21``; without the spread if there is none.

        Args:
            digits (int): Behind the point. Defaults to 2.
        """
        if self.sd is None:
            return f'{self.mean:.{digits}f}'
        return f'{self.mean:.{digits}f} ± {self.sd:.{digits}f}'


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much better one method is than another, over the same seeds.

    Attributes:
        mean (float): The difference of their means.
        sd (float, optional): sqrt(s1² + s2²), the standard deviation of the
            difference of two single runs; None for one seed.
        error (float, optional): sqrt(s1²/n + s2²/n), the standard error of
            the difference of the means; None for one seed.
        n (int): The seeds that both have.
    """

    mean: float
    sd: Optional[float]
    error: Optional[float]
    n: int

    @property
    def separable(self) -> Optional[bool]:
        """Whether it is more than two standard deviations; None: unknown.

        It is the strictest reading: with the deviation of single runs, which
        does not shrink with their number.
        """
        if self.sd is None:
            return None
        return abs(self.mean) > SEPARABLE * self.sd


def summarize(values: Iterable[float]) -> Optional[Summary]:
    """Mean and spread of several runs.

    Args:
        values (Iterable[float]): One figure per run.

    Returns:
        Summary, optional: None if there is no run.
    """
    values = list(values)
    if not values:
        return None
    sd = stdev(values) if len(values) > 1 else None
    return Summary(fmean(values), sd, len(values))


def difference(one: Mapping[int, float],
               other: Mapping[int, float]) -> Optional[Difference]:
    """How much larger the figures of one method are than another's.

    Args:
        one (Mapping[int, float]): A figure for each seed.
        other (Mapping[int, float]): What is subtracted. Only seeds that both
            have are compared.

    Returns:
        Difference, optional: None if they have no seed in common.
    """
    seeds = sorted(set(one) & set(other))
    if not seeds:
        return None
    first = summarize(one[seed] for seed in seeds)
    second = summarize(other[seed] for seed in seeds)
    sd = error = None
    if first.sd is not None:
        sd = math.hypot(first.sd, second.sd)
        error = sd / math.sqrt(len(seeds))
    return Difference(first.mean - second.mean, sd, error, len(seeds))
