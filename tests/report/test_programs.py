# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Programs in a report: what is shown, and the Pareto front."""
import json

import pytest

from mmdgkd.fileio.programs import Latency, ProgramRecord, add_programs
from mmdgkd.report import write_report
from mmdgkd.report.groups import Levels
from mmdgkd.report.programs import programs_of
from mmdgkd.report.records import read_runs

METRICS = dict(big=90., middle=90., small=80.)


def make(path, metric='accuracy/top1', prefix='', **entries):
    """The work dir of a chain of three networks."""
    stages = {
        name:
        dict(
            state='done',
            guides=[],
            seconds=1.,
            metric=dict(
                dict(
                    name=metric,
                    best=value,
                    best_at=1,
                    last=value,
                    history=[[1, value]]), **entries),
            config_sha256='',
            wrote=dict(file='x', sha256=prefix + name))
        for name, value in METRICS.items()
    }
    for name in METRICS:
        (path / name).mkdir(parents=True, exist_ok=True)
    data = dict(version=1, stages=stages, guidance='dense', seed=0)
    (path / 'chain.json').write_text(json.dumps(data))
    return path


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / 'work')


def add(folder,
        name,
        kind,
        size,
        latency,
        weights=None,
        device='CPU: a',
        file=None):
    if latency:
        latency = Latency(latency, latency * .9, latency * 1.1, 20, device)
    file = file or f'{name}.{kind}'
    (folder / name / file).write_bytes(bytes(size))
    add_programs(
        str(folder / name),
        {file: ProgramRecord(kind, size, 1e-6, weights or name, latency)})


def add_all(folder, prefix=''):
    add(folder, 'big', 'onnx', 900, 3., prefix + 'big')
    add(folder, 'middle', 'onnx', 500, 4., prefix + 'middle')
    add(folder, 'middle', 'pt2', 600, None, prefix + 'middle')
    add(folder, 'small', 'onnx', 100, 1., prefix + 'small')
    add(folder, 'small', 'pt2', 700, 2., prefix + 'small')


def read(*folders):
    runs = read_runs(list(map(str, folders)))
    return programs_of(runs, Levels(runs))


def fronts(found):
    return {row.file: (row.fastest, row.smallest) for row in found.rows}


def test_the_front_has_what_nothing_beats(folder):
    add_all(folder)
    found = read(folder)
    assert fronts(found) == {
        'big.onnx': (True, False),
        'middle.onnx': (False, True),
        'middle.pt2': (False, False),
        'small.onnx': (True, True),
        'small.pt2': (False, False)
    }
    assert found.device == 'CPU: a' and not found.notes
    assert len(found.panels) == 2


@pytest.mark.parametrize('metric, entries', [('loss', {}), ('error', {}),
                                             ('own', dict(rule='less'))])
def test_less_is_more_of_some_metrics(tmp_path, metric, entries):
    folder = make(tmp_path / 'work', metric, **entries)
    add_all(folder)
    # Then the small one is best in all.
    assert {file
            for file, best in fronts(read(folder)).items()
            if any(best)} == {'small.onnx'}


def test_of_an_unknown_metric_there_is_no_front(tmp_path):
    folder = make(tmp_path / 'work', 'own')
    add_all(folder)
    found = read(folder)
    assert not any(map(any, fronts(found).values()))
    assert found.notes == [
        'Which value of own is better is not known: no front; chain.metric '
        'tells it.'
    ]
    assert len(found.panels) == 2


def test_metrics_are_not_compared_with_each_other(tmp_path):
    one = make(tmp_path / 'one')
    other = make(tmp_path / 'other', 'loss', 'other ')
    add_all(one)
    add_all(other, 'other ')
    found = read(one, other)
    by_run = [[(row.fastest, row.smallest) for row in found.rows
               if f'({name})' in row.network] for name in ('one', 'other')]
    assert by_run[0] == list(fronts(read(one)).values())
    assert by_run[1] == list(fronts(read(other)).values())
    assert [panel.name for panel in found.panels] == [
        'programs_latency', 'programs_size', 'programs_latency_1',
        'programs_size_1'
    ]


def test_a_metric_with_a_rule_is_another_one(tmp_path):
    one = make(tmp_path / 'one', 'own')
    other = make(tmp_path / 'other', 'own', 'other ', rule='less')
    add_all(one)
    add_all(other, 'other ')
    found = read(one, other)
    assert {row.network
            for row in found.rows
            if row.fastest or row.smallest} == {'small (other)'}
    assert len(found.panels) == 4


def test_equals_are_both_on_the_front(folder):
    add(folder, 'big', 'onnx', 900, 3.)
    add(folder, 'middle', 'onnx', 900, 3.)
    assert all(map(all, fronts(read(folder)).values()))


def test_what_is_not_comparable_is_said(folder):
    add(folder, 'big', 'onnx', 900, 3.)
    add(folder, 'small', 'onnx', 100, 1., weights='of before')
    (folder / 'middle' / 'programs.json').write_text('{')
    found = read(folder)
    assert list(fronts(found)) == ['big.onnx']
    damaged, stale = found.notes
    assert damaged.startswith('middle of work: programs.json cannot be read')
    assert stale.startswith('Programs of small of work are not shown: ')
    # Another processor.
    add(folder, 'small', 'onnx', 100, 1., device='CPU: b')
    found = read(folder)
    assert fronts(found)['small.onnx'] == (False, True)
    assert found.notes[-1].startswith('The latencies are of CPU: a and CPU: b')
    # Another file of that name, or none.
    (folder / 'small' / 'small.onnx').write_bytes(b'other')
    assert list(fronts(read(folder))) == ['big.onnx']
    (folder / 'big' / 'big.onnx').unlink()
    assert not read(folder).rows


def test_a_given_network_without_a_metric_is_named(folder):
    path = folder / 'chain.json'
    data = json.loads(path.read_text())
    del data['stages']['big']['metric']
    data['stages']['big']['state'] = 'given'
    path.write_text(json.dumps(data))
    add_all(folder)
    found = read(folder)
    assert found.notes == [
        'No metric is known of big: not in the pictures, and not on the front.'
    ]
    assert fronts(found)['big.onnx'] == (False, False)
    assert fronts(found)['middle.onnx'] == (True, True)


def test_the_page_shows_them(folder):
    assert 'Programs' not in write(folder)
    add(folder, 'big', 'onnx', 900_000, 3.)
    add(folder, 'small', 'executorch', 100_000, 1234., file='a.pte')
    text = write(folder)
    assert 'Programs' in text
    for word in ('latency and size', '900', '1,111 to 1,357', 'CPU: a',
                 '<td class="short">a.pte</td>',
                 'accuracy/top1 against milliseconds per image; the Pareto '
                 'front: big.onnx 3 90.00.'):
        assert word in text, word
    for name in ('programs_latency.png', 'programs_size.png'):
        assert (folder / 'out' / name).stat().st_size > 5000


def write(folder):
    write_report([str(folder)], str(folder / 'out'))
    return (folder / 'out' / 'report.html').read_text()
