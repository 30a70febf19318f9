# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math

import pandas as pd
import pytest
from results.statistics import difference, mean_sd


def test_mean_and_sample_standard_deviation():
    # The squares are 4 + 1 + 0 + 9 = 14; a sample's are divided by 4 - 1:
    # sqrt(14 / 3) is 2.16.
    assert mean_sd(pd.Series([1., 2., 3., 6.])) == '3.00 ± 2.16'
    assert mean_sd(pd.Series([1000, 1002]), 0) == '1,001 ± 1'


def test_one_run_has_no_spread_and_none_no_mean():
    assert mean_sd(pd.Series([50.])) == '50.00'
    assert mean_sd(pd.Series([], dtype=float)) == '-'


def test_difference_by_hand():
    # Spreads 1 and 2: sqrt(1 + 4) of single runs, by sqrt(3) of the means.
    # Seeds are matched, not places.
    gap = difference(
        pd.Series([9., 10., 11.]), pd.Series([6., 4., 2.], index=[2, 1, 0]))
    assert gap.mean == 6 and gap.n == 3
    assert gap.sd == pytest.approx(math.sqrt(5))
    assert gap.error == pytest.approx(math.sqrt(5 / 3))
    assert str(gap) == '+6.00 (1.29)*'


@pytest.mark.parametrize('mean, separable', [(4.47, False), (4.48, True),
                                             (-4.48, True), (0, False)])
def test_more_than_two_standard_deviations(mean, separable):
    # 2 sqrt(5) is 4.472.
    gap = difference(
        pd.Series([mean - 1, mean, mean + 1]), pd.Series([-2., 0., 2.]))
    assert gap.is_separable is separable
    assert str(gap).endswith('*') is separable


def test_only_common_seeds_are_compared():
    gap = difference(
        pd.Series([10., 12.]), pd.Series([5., 100.], index=[1, 2]))
    assert gap.mean == 7 and gap.n == 1
    assert gap.sd is gap.error is None and not gap.is_separable
    assert str(gap) == '+7.00'
    assert difference(pd.Series([1.]), pd.Series([1.], index=[1])) is None
