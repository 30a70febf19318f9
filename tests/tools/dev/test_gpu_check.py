# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is tried on a GPU is tried here on the CPU, in the least sizes."""
import json
import sys
from argparse import Namespace

import pytest


@pytest.fixture
def tool(monkeypatch, root):
    """The module of the tool."""
    monkeypatch.syspath_prepend(str(root / 'tools/dev'))
    import gpu_check
    return gpu_check


@pytest.mark.slow
def test_a_part_and_its_row(run_tool, tmp_path):
    done = run_tool(
        sys.executable,
        'tools/dev/gpu_check.py',
        'run',
        '--small',
        '--out',
        tmp_path,
        '--parts',
        'digits',
        'live',
        check=False)
    assert done.returncode == 1  # not all has passed
    assert '| digits | passed | ' in done.stdout
    assert '| live | needs --data | ' in done.stdout
    found = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert [row['outcome']
            for row in found['parts']] == ['passed', 'needs --data']
    assert found['environment']['versions']['torch']


def test_what_fails_is_a_row(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, '_NONE_FOR', 0)
    args = Namespace(out=str(tmp_path), data=None, minutes=1)
    sleep = 'import time; print("begins", flush=True); time.sleep(60)'
    parts = [
        tool.Part('good', ['-c', 'print("1 | 2\\n+--+")']),
        tool.Part('bad', ['-c', 'raise SystemExit("because")']),
        tool.Part('long', ['-c', sleep], 2),
        tool.Part('data', ['-c', ''], needs_data=True)
    ]
    rows = tool.run_parts(parts, args, {})
    found = [(row['outcome'], row['last']) for row in rows]
    assert found == [('passed', '1 | 2'), ('exit code 1', 'because'),
                     ('out of time', 'begins'), ('needs --data', '')]
    args.minutes = -1
    (row, ) = tool.run_parts(parts[:1], args, {})
    assert row['outcome'] == 'no time left'


def test_all_parts_together_have_the_time(tool):
    """Of nine minutes each has its own, and the important ones come first."""
    parts = tool.parts_of(False, 'data', 'out')
    assert parts[0].name == 'digits' and len(parts) == 12
    assert all(part.seconds <= 150 for part in parts)


def test_the_packages_are_those_of_setup_cfg(tool):
    found = tool._requirements()
    assert not any(line.startswith('torch') for line in found)
    for name in ('mmrazor', 'mmpretrain', 'mmcv-lite', 'fsspec', 'jsonschema'):
        assert any(line.startswith(name) for line in found), name
