# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json

import pytest
from results.compressed import compressed_table, merged, read_runs, runs_of

from mmdgkd import ConfigError


def run(network='resnet8_int8', last=40., seed=0, guides=(), **kwargs):
    return dict(
        dict(
            network=network,
            guides=list(guides),
            seed=seed,
            epochs=4,
            params=83892,
            macs=12500000,
            best=last,
            last=last,
            seconds=1.,
            sha256='ab'), **kwargs)


def test_with_teachers_and_without_side_by_side():
    teachers = ['resnet20', 'resnet14']
    runs = [
        run('resnet20', 50.),
        run(last=40.),
        run(last=41., seed=1),
        run(last=43., guides=teachers),
        run(last=44., seed=1, guides=teachers, params=90000)
    ]
    assert compressed_table(runs).splitlines()[2:] == [
        '| resnet20 | 83,892 | 12,500,000 | - | 50.00 | - | - | 1/0 |',
        '| resnet8_int8 | 83,892 to 90,000 | 12,500,000 | resnet20, resnet14 '
        '| 40.50 ± 0.71 | 43.50 ± 0.71 | +3.00 (0.71)* | 2/2 |'
    ]
    assert compressed_table([]) == 'No runs yet.'


def test_a_later_run_replaces_the_same_earlier_one():
    runs = merged(
        [run(last=40.), run(last=41., seed=1)],
        [run(last=42.), run(last=43., guides=['resnet20'])])
    assert [one['last'] for one in runs] == [42., 41., 43.]


def test_runs_of_a_work_dir():
    metric = dict(best=40.12344, last=39.98765)
    entry = dict(
        state='done',
        guides=[],
        params=1,
        macs=2,
        metric=metric,
        seconds=3,
        wrote=dict(sha256='ab'))
    ledger = dict(
        seed=1,
        stages=dict(
            a=entry,
            b=dict(entry, state='running'),
            # Its file was given.
            c=dict(entry, metric=None)))
    assert runs_of(ledger, dict(a=4)) == [
        run('a',
            39.9877,
            best=40.1234,
            seed=1,
            params=1,
            macs=2,
            seconds=3.,
            sha256='ab')
    ]


@pytest.mark.parametrize('text, message', [
    ('{', 'is no JSON'),
    ('7', 'network: None; should be str'),
    (json.dumps([run(last='a')]), "best: 'a'; should be float"),
])
def test_a_damaged_file_is_named(tmp_path, text, message):
    path = tmp_path / 'runs.json'
    assert read_runs(str(path)) == []
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_runs(str(path))
    assert str(path) in str(error.value) and '\n' not in str(error.value)
