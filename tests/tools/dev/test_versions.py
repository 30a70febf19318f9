# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json
import sys

import pytest
import versions


def test_the_last_accuracies_of_what_is_done_are_read(monkeypatch):
    out = '| resnet8  | 78,042 | 0.8 M | resnet20 | 99.72 | {} | 3.1 | {}  |\n'
    monkeypatch.setattr(
        versions, 'attempt', lambda *_: dict(
            passed=True,
            seconds=1,
            out=out.format('99.44', 'pending') + out.format('98.50', 'done')))
    assert versions.try_chain('x')['last'] == dict(resnet8=98.5)


def test_what_is_installed_is_named():
    found = versions.versions()
    assert {'python', *versions.PACKAGES} == set(found)


@pytest.fixture
def steps(monkeypatch):
    """The steps, which pass but for those that are named."""
    failing = []

    def attempt(*command):
        name = next((name for name in ('pytest', 'train', 'export')
                     if any(name in word for word in command)), 'compat')
        out = dict(
            pytest='FAILED a.py::test_b - why\n1 failed, 2 passed in 3.0s\n',
            train='| resnet8  | 1 | 2 M | - | 99.72 | 99.44 | 3.1 | done  |\n',
            compat='checkpoints: in force\n\nin-place modules: not needed\n')
        result = dict(
            passed=name not in failing, seconds=1, out=out.get(name, ''))
        return result if result['passed'] else dict(result, error='it fails')

    monkeypatch.setattr(versions, 'attempt', attempt)
    return failing


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', ['versions.py', *map(str, words)])
    versions.main()


@pytest.mark.parametrize('failed, cells', [
    ([], ['99.44', 'pt2, onnx', '1 failed, 2 passed']),
    (['train', 'export'], ['it fails', 'it fails', '1 failed, 2 passed']),
])
def test_each_run_adds_a_row_to_the_table(monkeypatch, tmp_path, capsys, steps,
                                          failed, cells):
    file = tmp_path / 'versions.json'
    for steps[:] in ([], failed):
        with pytest.raises(SystemExit) as info:
            run(monkeypatch, 'run', file)
        assert bool(info.value.code) == bool(steps)
    first, second = json.loads(file.read_text())
    assert first['compat']['repairs'] == ['checkpoints']
    assert second['tests']['failed'] == ['a.py::test_b']
    capsys.readouterr()
    run(monkeypatch, 'table', file)
    lines = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in lines[-1].split('|')][-4:-1] == cells
    assert len({line.count('|') for line in lines}) == 1
