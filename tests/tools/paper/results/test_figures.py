# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import io

import pytest
from PIL import Image
from results import figures
from results.figures import draw, figure_names, is_current
from results.results import Results


@pytest.fixture
def records(make_record):
    """All that the figures of one setting need, by as few runs as can be."""
    return [
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
    ]


@pytest.fixture
def results(records):
    return Results(records)


def lists(frame, key, value):
    """The values of a column by those of another."""
    return frame.groupby(key, sort=False, observed=True)[value].agg(list)


def test_data_of_figures(results):
    # The run of another length is in none of them.
    data = figures.methods(results)
    assert set(data['panel']) == {'released recipe, no augmentation, 2 epochs'}
    assert lists(data, 'label', 'best').to_dict() == {
        'alone': [40.], 'KD': [44.], 'TAKD': [45.], 'DGKD': [48., 49.],
        'stochastic DGKD': [50.]
    }  # yapf: disable
    assert lists(data, 'label', 'paper')['KD'] == [44.57]
    data = figures.numbers_of_tas(results)
    found = lists(data, ['kind', 'x'], 'best').to_dict()
    assert found == {
        ('takd', 0): [44.], ('takd', 3): [45.], ('dgkd', 0): [44.],
        ('dgkd', 1): [46.], ('dgkd', 3): [48., 49.],
        ('takd paper', 0): [44.57], ('takd paper', 3): [45.14],
        ('dgkd paper', 0): [44.57], ('dgkd paper', 3): [48.92]
    }  # yapf: disable
    assert data[data['kind'] == 'alone']['best'].tolist() == [40.]
    data = figures.survival(results)
    assert lists(data, ['x', 'kind'], 'best').to_dict() == {
        (.5, 'random'): [47.], (.75, 'one'): [50.], (1., 'random'): [48., 49.],
        (.75, 'paper'): [50.15], (1., 'paper'): [48.92]
    }  # yapf: disable
    data = figures.learning_curves(results, 'released-none')
    curves = data[data['label'] == 'DGKD']
    assert curves[['seed', 'epoch', 'accuracy']].values.tolist() == [
        [0, 1, 48.], [0, 2, 48.], [1, 1, 49.], [1, 2, 49.]
    ]  # yapf: disable
    data = figures.overlaps(results)
    assert set(data['pair']) == {'10→2'}
    takd = data[data['method'] == 'takd'].iloc[-1]
    assert (takd['both'], takd['given'], takd['smaller']) == (4000, 100., 55.)


def test_every_figure_is_drawn_and_names_its_records(results, records,
                                                     make_record):
    other = Results([*records, make_record('kd', 44.5, seed=1)])
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
    # One method may classify a pair right that the other does not.
    more = Results(
        [*records, make_record('dgkd', 58., network='plain8')] + [
            make_record(method, 57., network='plain4')
            for method in ('takd', 'dgkd')
        ] + [make_record('dgkd', 56., network='plain6')])
    pairs = figures.overlaps(more)['pair']
    assert pairs.nunique() == 5 and pairs.cat.categories[-1] == '10→2'
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
