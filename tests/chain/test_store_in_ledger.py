# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The ledger has the counts of the logit store, and the versions."""
import json
import os
import shutil

import mmengine
import pytest
import torch

from mmdgkd.chain.hooks.ledger_hook import _added
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.logit_store.teacher_timer import TeacherTimer

ROWS = 2 * 64  # epochs, images


def test_each_teacher_is_computed_once_and_then_read(trained):
    ledger = trained[1].work.ledger
    first = ledger['resnet14']['store']['resnet20']
    assert first['recalled'] == 0 and first['computed'] == ROWS
    assert 0 < first['seconds'] < ledger['resnet14']['seconds']
    assert ledger['resnet8']['store']['resnet20'] == dict(
        recalled=ROWS, computed=0, seconds=0.0)
    assert ledger['resnet8']['store']['resnet14']['computed'] == ROWS
    assert 'store' not in ledger['resnet20']


def test_versions_and_costs_are_there(trained):
    ledger = trained[1].work.ledger
    for name, facts in trained[1].facts.items():
        assert ledger[name]['params'] == facts.params
        assert ledger[name]['macs'] == facts.macs
        environment = ledger[name]['environment']
        assert environment['versions']['torch'] == torch.__version__
        assert environment['versions']['mmengine'] == mmengine.__version__
        assert environment['processes'] == 1 and environment['device']


def test_a_resumed_stage_keeps_its_counts(trained, tmp_path):
    """One of two epochs again: its teachers are read, and that is added."""
    cfg = trained[0].copy()
    cfg.work_dir, cfg.resume = str(tmp_path / 'copied'), True
    shutil.copytree(trained[0].work_dir, cfg.work_dir)
    path = tmp_path / 'copied/chain.json'
    data = json.loads(path.read_text())
    before = data['stages']['resnet8']['store']
    data['stages']['resnet8']['state'] = 'running'
    path.write_text(json.dumps(data))
    for name in ('resnet8.pth', 'epoch_2.pth'):
        os.remove(tmp_path / 'copied/resnet8' / name)
    ChainRunner(cfg).train()
    after = json.loads(path.read_text())['stages']['resnet8']['store']
    assert after == {
        teacher: dict(count, recalled=count['recalled'] + 64)
        for teacher, count in before.items()
    }


def test_what_is_not_known_of_a_part_is_not_known_of_all():
    known = dict(a=dict(recalled=1, computed=2, seconds=0.5))
    unknown = dict(a=dict(recalled=1, computed=2, seconds=None))
    assert _added(known, known)['a'] == dict(
        recalled=2, computed=4, seconds=1.0)
    assert _added(known, unknown)['a'] == dict(
        recalled=2, computed=4, seconds=None)
    assert _added({}, known) == known


def test_the_clock_adds_up_by_teacher():
    clock = TeacherTimer()
    for _ in range(2):
        with clock.timing('slow', torch.device('cpu')):
            torch.ones(300, 300) @ torch.ones(300, 300)
    with clock.timing('elsewhere', torch.device('meta')):
        pass
    assert set(clock.seconds) == {'slow'} and clock.seconds['slow'] > 0


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a GPU with CUDA')
def test_the_clock_does_not_wait_for_a_gpu():
    clock, device = TeacherTimer(), torch.device('cuda')
    big = torch.ones(8192, 8192, device=device)
    with clock.timing('teacher', device):
        for _ in range(50):
            big @ big
    assert 'teacher' not in clock.seconds
    torch.cuda.synchronize()
    assert clock.seconds['teacher'] > 0
