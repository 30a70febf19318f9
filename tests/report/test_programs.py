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


@pytest.fixture
def folder(tmp_path):
    """The work dir of a chain of three networks."""
    stages = {
        name:
        dict(
            state='done',
            guides=[],
            seconds=1.,
            metric=dict(
                name='accuracy/top1',
                best=value,
                best_at=1,
                last=value,
                history=[[1, value]]),
            config_sha256='',
            wrote=dict(file='x', sha256=name))
        for name, value in METRICS.items()
    }
    for name in METRICS:
        (tmp_path / name).mkdir()
    data = dict(version=1, stages=stages, guidance='dense', seed=0)
    (tmp_path / 'chain.json').write_text(json.dumps(data))
    return tmp_path


def add(folder, name, kind, size, latency, weights=None, device='CPU: a'):
    if latency:
        latency = Latency(latency, latency * .9, latency * 1.1, 20, device)
    add_programs(
        str(folder / name), {
            f'{name}.{kind}':
            ProgramRecord(kind, size, 1e-6, weights or name, latency)
        })


def read(folder, metric='accuracy/top1'):
    runs = read_runs([str(folder)])
    return programs_of(runs, Levels(runs), metric)


def fronts(found):
    return {
        (row.network, row.record.format): (row.fastest, row.smallest)
        for row in found.rows
    }


def test_the_front_has_what_nothing_beats(folder):
    add(folder, 'big', 'onnx', 900, 3.)
    add(folder, 'middle', 'onnx', 500, 4.)
    add(folder, 'middle', 'pt2', 600, None)
    add(folder, 'small', 'onnx', 100, 1.)
    add(folder, 'small', 'pt2', 700, 2.)
    found = read(folder)
    assert fronts(found) == {
        ('big', 'onnx'): (True, False),
        ('middle', 'onnx'): (False, True),
        ('middle', 'pt2'): (False, False),
        ('small', 'onnx'): (True, True),
        ('small', 'pt2'): (False, False)
    }
    assert found.device == 'CPU: a' and not found.notes
    # Of a loss less is more: then the small one alone is best.
    assert [
        key for key, value in fronts(read(folder, 'loss')).items()
        if any(value)
    ] == [('small', 'onnx')]


def test_what_is_not_comparable_is_said(folder):
    add(folder, 'big', 'onnx', 900, 3.)
    add(folder, 'small', 'onnx', 100, 1., weights='of before')
    (folder / 'middle' / 'programs.json').write_text('{')
    found = read(folder)
    assert list(fronts(found)) == [('big', 'onnx')]
    damaged, stale = found.notes
    assert damaged.startswith(f'middle of {folder.name}: programs.json cannot')
    assert stale.startswith(f'The programs of small of {folder.name} are of ')
    # Another processor.
    add(folder, 'small', 'onnx', 100, 1., device='CPU: b')
    found = read(folder)
    assert fronts(found)['small', 'onnx'] == (False, True)
    assert found.notes[-1].startswith('The latencies are of CPU: a and CPU: b')


def test_the_page_shows_them(folder):
    assert 'Programs' not in (folder / write(folder)).read_text()
    add(folder, 'big', 'onnx', 900_000, 3.)
    add(folder, 'small', 'executorch', 100_000, 1.)
    text = (folder / write(folder)).read_text()
    assert 'Programs' in text
    for word in ('latency and size', '900', '0.9 to 1.1', 'CPU: a',
                 'accuracy/top1, % against milliseconds per image; the Pareto '
                 'front: big onnx 3 90.00 and small executorch 1 80.00.'):
        assert word in text, word
    for name in ('programs_latency.png', 'programs_size.png'):
        assert (folder / 'out' / name).stat().st_size > 5000


def write(folder):
    write_report([str(folder)], str(folder / 'out'))
    return 'out/report.html'
