# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How a report writes numbers, and where it puts them."""
from mmdgkd.report.formatting import format_duration, format_list, format_short
from mmdgkd.report.groups import Spread
from mmdgkd.report.methods import METHOD_STYLES, styles_of
from mmdgkd.report.plots import spread_out


def test_numbers_for_people():
    assert [format_short(value) for value in (999, 999499, 999500, 2553500)
            ] == ['999', '999\u00a0k', '1\u00a0M', '2.55\u00a0M']
    assert [format_duration(value) for value in (7.61, 59.97, 125, 4320)
            ] == ['7.6\u00a0s', '1 min 00 s', '2 min 05 s', '1 h 12 min']


def test_one_value_has_no_spread():
    assert Spread((5.0, )).deviation is None and str(Spread(())) == '–'
    assert str(Spread((None, 5.0))) == '5.00'


def test_labels_are_moved_apart():
    assert spread_out([1.0, 5.0], 1.0) == [1.0, 5.0]
    assert spread_out([], 1.0) == []
    assert spread_out([5.0, 5.0, 5.0], 1.0) == [4.0, 5.0, 6.0]
    places = spread_out([0.0, 0.1, 0.9, 3.0], 1.0)
    assert places == sorted(places)
    assert min(b - a for a, b in zip(places, places[1:])) >= 1 - 1e-9


def test_each_method_has_looks_of_its_own():
    known = [style.label for style in METHOD_STYLES.values()]
    styles = styles_of([*known, 'toy', 'other', 'toy'])
    assert list(styles) == [*known, 'toy', 'other']
    looks = {(style.color, style.marker) for style in styles.values()}
    assert len(looks) == len(styles)


def test_lists():
    assert [format_list('abc'[:n])
            for n in range(4)] == ['', 'a', 'a and b', 'a, b and c']
