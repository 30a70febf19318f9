# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A killed chain has the same bytes in the end; other bytes are found."""
import json
import os
import os.path as osp
from pathlib import Path

import pytest
import torch

from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.fileio.checksum import write_with_checksum

# One worker trains the chain that is never killed.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('survive')]

SURVIVOR = 'tests/configs/survivor.py'
NAMES = ('resnet20', 'resnet14', 'resnet8')
# The first stage alone.
FIRST = {'chain.networks.resnet14': None, 'chain.networks.resnet8': None}


@pytest.fixture
def tools(monkeypatch, root):
    """The modules of the tool."""
    monkeypatch.syspath_prepend(str(root / 'tools'))
    monkeypatch.syspath_prepend(str(root / 'tools/dev'))
    monkeypatch.chdir(root)
    import _kill_points
    import survive
    return _kill_points, survive


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run that is never killed: its outcome."""
    import _kill_points as tool
    root = Path(__file__).resolve().parents[3]
    job = tool.Job(
        str(root / SURVIVOR), str(tmp_path_factory.mktemp('w') / 'whole'), {})
    assert tool.run(job)
    counts = tool.counts_of(job)
    assert all(counts[kind] for kind in tool.KINDS if kind != 'moment')
    return tool.outcome(job.work_dir, NAMES)


def killed(tools, tmp_path, *points, between=None, **options):
    tool, _ = tools
    job = tool.Job(SURVIVOR, str(tmp_path / 'killed'), options)
    for point in points:
        assert not tool.run(job, tool.KillPoint(*point)), point
        if between:
            between(job.work_dir)
    assert tool.run(job)
    return tool.outcome(job.work_dir, NAMES[:1 if options else 3])


def test_kills_leave_no_trace(tools, tmp_path, whole):
    """One of each kind that writes, in a row."""
    found = killed(tools, tmp_path, ('checkpoint', 4), ('iteration', 9),
                   ('ledger', 6), ('logits', 7), ('stage', 2))
    assert tools[0].differences(whole, found) == []
    for part in ('network.head.fc.weight', 'metric.last', 'ema_state_dict.',
                 'optimizer.state.0.momentum_buffer', 'param_schedulers.0.'):
        assert any(part in key for key in whole), part


def nudge_optimizer(work_dir):
    """Change one tensor of the newest checkpoint, by the last bits."""
    folder = osp.join(work_dir, 'resnet20')
    names = [name for name in os.listdir(folder) if name.startswith('iter_')]
    path = osp.join(folder, max(names, key=lambda name: int(name[5:-4])))
    checkpoint = read_checkpoint(path, 'x')
    buffer = checkpoint['optimizer']['state'][3]['momentum_buffer']
    buffer.copy_(torch.nextafter(buffer, torch.full_like(buffer, 1e9)))
    torch.save(checkpoint, path + '.new')
    with open(path + '.new', 'rb') as new, open(path, 'wb') as old:
        write_with_checksum(old, new.read())


def test_it_finds_one_tensor_of_the_optimizer(tools, tmp_path, whole):
    found = killed(
        tools, tmp_path, ('iteration', 12), between=nudge_optimizer, **FIRST)
    first = {key: whole[key] for key in whole if key.startswith('resnet20.')}
    differs = tools[0].differences(first, found)
    assert any(key.startswith('resnet20.optimizer') for key in differs)
    assert any(key.startswith('resnet20.network') for key in differs)


def test_it_finds_other_random_numbers(tools, tmp_path):
    """Without the hook Dropout draws from wherever a generator stands."""
    tool, _ = tools
    options = {'custom_hooks.2.enabled': False, **FIRST}
    job = tool.Job(SURVIVOR, str(tmp_path / 'whole'), options)
    assert tool.run(job)
    expected = tool.outcome(job.work_dir, NAMES[:1])
    found = killed(tools, tmp_path, ('iteration', 8), **options)
    assert any('network' in key for key in tool.differences(expected, found))


def test_random_kill_points(run_here, tmp_path):
    done = run_here('tools/dev/survive.py', '--kills', '1', '--ranks', '2',
                    '--seed', 7, '--json', tmp_path / 'outcome.json')
    result = json.loads((tmp_path / 'outcome.json').read_text())
    (run, ) = result['runs']
    assert len(run['kills']) == 1 and not run['differs']
    assert result['parts'] > 500
    assert '| all | 1 | 0 of 1 runs |' in done.stdout
