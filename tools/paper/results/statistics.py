# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Mean, spread and difference of a few runs.

The spread is always the *sample* standard deviation (divided by n - 1) over
the seeds. Differences are unpaired, with Welch's spread (each method keeps its
own): three seeds are too few to find how much of the spread two methods share.
"""
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

# Two methods differ if their means do by more than so many standard deviations
# of the difference of two single runs.
SEPARABLE = 2


class Difference(NamedTuple):
    """How much better one method is than another, over the same seeds.

    Attributes:
        mean (float): The difference of their means.
        sd (float, optional): sqrt(s1² + s2²), the standard deviation of the
            difference of two single runs; None for one seed.
        n (int): The seeds that both have.
    """

    mean: float
    sd: Optional[float]
    n: int

    @property
    def error(self) -> Optional[float]:
        """sqrt(s1²/n + s2²/n), the standard error of the mean difference."""
        return None if self.sd is None else self.sd / self.n**.5

    @property
    def is_separable(self) -> bool:
        """Whether it is more than :data:`SEPARABLE` standard deviations.

        Those are of single runs: this does not shrink with their number.
        """
        return self.sd is not None and abs(self.mean) > SEPARABLE * self.sd

    def __str__(self) -> str:
        """Such as ``+1.07 (0.13)*``: mean, standard error, separable."""
        error = '' if self.error is None else f' ({self.error:.2f})'
        return f'{self.mean:+.2f}{error}' + '*' * self.is_separable


def difference(one: pd.Series, other: pd.Series) -> Optional[Difference]:
    """How much larger the values of one method are than another's.

    Args:
        one (Series): A value for each seed, which is the index.
        other (Series): What is subtracted. Only seeds that both have are
            compared.

    Returns:
        Difference, optional: None if they have no seed in common.
    """
    both = pd.concat([one, other], axis=1, join='inner').to_numpy(float)
    if len(both) == 0:
        return None
    first, second = both.mean(axis=0)
    sd = None
    if len(both) > 1:
        sd = float(np.hypot(*both.std(axis=0, ddof=1)))
    return Difference(float(first - second), sd, len(both))


def mean_sd(values: pd.Series, digits: int = 2) -> str:
    """Such as ``50.15 ± 0.21``; one run has no spread, none is a dash.

    Args:
        values (Series): One value per run.
        digits (int): Behind the point. Defaults to 2.
    """
    if len(values) == 0:
        return '-'
    spread = f' ± {values.std():,.{digits}f}' if len(values) > 1 else ''
    return f'{values.mean():,.{digits}f}{spread}'
