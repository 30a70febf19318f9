# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import io

import pytest
from PIL import Image
from results import figure_data
from results.figures import draw, figure_names, is_current
from results.results import Results


@pytest.fixture
def results(make_record):
    """All that the figures of one setting need, by as few runs as can be."""
    return Results([
        make_record('alone', 60., network='plain10'),
        make_record('alone', 40.),
        make_record('kd', 44.),
        make_record('takd', 45.),
        make_record('dgkd', 48.),
        make_record('dgkd', 49., seed=1),
        make_record('dgkd', 90., seed=2, epochs=9),
        make_record('dgkd', 46., variant='tas_1'),
        make_record('dgkd_stochastic', 50.),
        make_record('dgkd_stochastic', 47., variant='keep_0.5'),
    ])


def test_data_of_figures(results):
    # The run of another length is in none of them.
    rows = figure_data.methods(results)['released-none']['rows']
    assert [(row['label'], row['best'], row['paper']) for row in rows] == [
        ('alone', [40.], 41.09), ('KD', [44.], 44.57), ('TAKD', [45.], 45.14),
        ('DGKD', [48., 49.], 48.92), ('stochastic DGKD', [50.], 50.15)
    ]  # yapf: disable
    tas = figure_data.numbers_of_tas(results)['released-none']
    assert tas['methods'] == dict(
        takd=[[0, [44.]], [1, []], [3, [45.]]],
        dgkd=[[0, [44.]], [1, [46.]], [3, [48., 49.]]])
    assert tas['alone'] == [40.]
    points = figure_data.survival(results)['released-none']['points']
    assert points == [[.5, 'chance', [47.]], [.75, 'count', [50.]],
                      [1., 'chance', [48., 49.]]]
    curves = figure_data.learning_curves(results, 'released-none')['curves']
    assert curves['DGKD'] == [[[1, 48.], [2, 48.]], [[1, 49.], [2, 49.]]]
    overlap = figure_data.overlaps(results)['released-none']
    assert overlap['pairs'] == [['plain10', 'plain2']]
    assert overlap['methods']['takd'][-1] == dict(
        pair=['plain10', 'plain2'], both=[4000], given=[100.], smaller=[55.])


def test_every_figure_is_drawn_and_knows_its_records(results, make_record):
    other = Results([*results.records, make_record('kd', 44.5, seed=1)])
    drawn = {}
    for name in figure_names():
        png = draw(name, results)
        if name.startswith('learning') and not name.endswith('released-none'):
            assert png is None and is_current(name, results, None)
            continue
        drawn[name] = png
        with Image.open(io.BytesIO(png)) as image:
            assert 1000 < image.width <= 1600, name
        assert is_current(name, results, png)
        assert not is_current(name, results, None)
        assert not is_current(name, results, png[:20])
    assert len(drawn) == 5
    assert not is_current('methods', other, drawn['methods'])
    # One method may know a pair that the other does not.
    more = Results(
        [*results.records,
         make_record('dgkd', 58., network='plain8')] + [
             make_record(method, 57., network='plain4')
             for method in ('takd', 'dgkd')
         ] + [make_record('dgkd', 56., network='plain6')])
    pairs = figure_data.overlaps(more)['released-none']['pairs']
    assert [len(pairs), pairs[-1]] == [5, ['plain10', 'plain2']]
    assert draw('overlap', more) is not None
    # A run that a figure does not show makes it no older.
    assert is_current('survival', other, drawn['survival'])


def test_figures_without_data_are_not_drawn(make_record):
    # One probability below 1 is no line.
    some = Results([
        make_record('kd', 44.),
        make_record('dgkd', 48.),
        make_record('dgkd_stochastic', 50.)
    ])
    assert draw('methods', some) is not None
    for name in ('overlap', 'number-of-tas', 'survival'):
        assert draw(name, some) is None
    assert all(draw(name, Results([])) is None for name in figure_names())
