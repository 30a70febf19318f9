# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from results.search import add_row, read_rows, row_of, search_table

from mmdgkd import ConfigError


def entry(last, best=None, epochs=20):
    best = last if best is None else best
    return dict(
        metric=dict(best=best, last=last, history=[[1, best], [epochs, last]]))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'search' / 'own.jsonl')


def test_rows_are_kept_and_the_same_run_has_one(path):
    assert read_rows(path) == []
    first = row_of(entry(40.), 'alone', 0, 5000)
    second = row_of(entry(41., 42.), 'kd', 0, 5000, loss_weight=.5, tau=2.)
    add_row(path, first)
    add_row(path, second)
    assert read_rows(path) == [first, second]
    assert second['best'] == 42 and second['epochs'] == 20

    anew = row_of(entry(43., epochs=30), 'kd', 0, 5000, '', .5, 2.)
    add_row(path, anew)
    assert read_rows(path) == [first, anew]
    add_row(path, row_of(entry(43.), 'kd', 1, 5000, '', .5, 2.))
    add_row(path, row_of(entry(43.), 'kd', 1, 5000, 'lr=1', .5, 2.))
    assert len(read_rows(path)) == 4


def test_table(path):
    rows = [row_of(entry(40.), 'alone', 0, 5000)]
    for seed, last in enumerate((41., 43.)):
        rows.append(row_of(entry(last), 'dgkd', seed, 5000, '', .5, 4.))
    rows.append(row_of(entry(44.), 'kd', 0, 5000, '', .1, 4.))
    # Another length is a row of its own.
    rows.append(row_of(entry(50., epochs=30), 'kd', 0, 5000, '', .1, 4.))
    lines = search_table(rows).splitlines()
    assert lines[0] == (
        '| λ | tau | alone | KD | DGKD | epochs | held out | options |')
    assert lines[2:6] == [
        '| - | - | 40.00 | - | - | 20 | 5,000 | - |',
        '| 0.1 | 4 | - | 44.00 | - | 20 | 5,000 | - |',
        '| 0.5 | 4 | - | - | 42.00 ± 1.41 | 20 | 5,000 | - |',
        '| 0.1 | 4 | - | 50.00 | - | 30 | 5,000 | - |'
    ]
    assert 'its teachers were trained on them' in lines[-1]
    assert search_table([]) == 'No runs yet.'


@pytest.mark.parametrize('line, message', [
    ('{"method": ', 'line 1 is not JSON'),
    ('7', 'line 1: method should be str'),
    ('{"method": "kd", "loss_weight": "a"}',
     'line 1: loss_weight should be int or float or null'),
])
def test_a_line_that_is_no_row(tmp_path, line, message):
    path = tmp_path / 'own.jsonl'
    path.write_text(line + '\n')
    with pytest.raises(ConfigError, match=message) as caught:
        add_row(str(path), row_of(entry(40.), 'alone', 0, 5000))
    assert str(path) in str(caught.value)
    assert path.read_text() == line + '\n'
