# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math

import pytest
from results.statistics import difference, summarize


def test_mean_and_sample_standard_deviation():
    runs = summarize([1., 2., 3., 6.])
    # The squares are 4 + 1 + 0 + 9 = 14; a sample's are divided by 4 - 1.
    assert runs.mean == 3 and runs.n == 4
    assert runs.sd == pytest.approx(math.sqrt(14 / 3))
    assert runs.text() == '3.00 ± 2.16'


def test_one_run_has_no_spread_and_none_no_mean():
    assert summarize([50.]).sd is None
    assert summarize([50.]).text() == '50.00'
    assert summarize([]) is None


def test_difference_by_hand():
    # Spreads 1 and 2: sqrt(1 + 4) of single runs, by sqrt(3) of the means.
    gap = difference({0: 9., 1: 10., 2: 11.}, {0: 2., 1: 4., 2: 6.})
    assert gap.mean == 6 and gap.n == 3
    assert gap.sd == pytest.approx(math.sqrt(5))
    assert gap.error == pytest.approx(math.sqrt(5 / 3))


@pytest.mark.parametrize('mean, separable', [(4.47, False), (4.48, True),
                                             (-4.48, True), (0, False)])
def test_more_than_two_standard_deviations(mean, separable):
    # 2 sqrt(5) is 4.472.
    one = {0: mean - 1, 1: mean, 2: mean + 1}
    assert difference(one, {0: -2., 1: 0., 2: 2.}).separable is separable


def test_only_common_seeds_are_compared():
    gap = difference({0: 10., 1: 12.}, {1: 5., 2: 100.})
    assert gap.mean == 7 and gap.n == 1
    assert gap.sd is gap.error is gap.separable is None
    assert difference({0: 1.}, {1: 1.}) is None
