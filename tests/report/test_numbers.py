# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How a report writes numbers, and where it puts them."""
from mmdgkd.report.charts.canvas import spread_out
from mmdgkd.report.groups import Spread
from mmdgkd.report.words import duration, short


def test_numbers_for_people():
    assert [short(value) for value in (999, 999499, 999500, 2553500)
            ] == ['999', '999\u00a0k', '1\u00a0M', '2.55\u00a0M']
    assert [duration(value) for value in (7.61, 59.97, 125, 4320)
            ] == ['7.6\u00a0s', '1 min 00 s', '2 min 05 s', '1 h 12 min']


def test_one_value_has_no_spread():
    assert Spread((5.0, )).deviation is None and str(Spread(())) == '–'


def test_labels_are_moved_apart():
    assert spread_out([1.0, 5.0], 1.0) == [1.0, 5.0]
    assert spread_out([5.0, 5.0, 5.0], 1.0) == [4.0, 5.0, 6.0]
    places = spread_out([0.0, 0.1, 0.9, 3.0], 1.0)
    assert places == sorted(places)
    assert min(b - a for a, b in zip(places, places[1:])) >= 1 - 1e-9
