# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Real trainings in a pseudo terminal."""
import glob
import os
import os.path as osp
import re
import signal
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdgkd import ConfigError, TrainingStopped
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.hooks.live_progress_hook import LiveProgressHook
from mmdgkd.engine.hooks.stop_hook import StopHook

FULL = (r'{} \| epoch 2/2 ━+[╸╺]?━* \d/8 \| [\d.]+ (it/s|s/it) \| '
        r'loss \d+\.\d{{4}} \| top1 \d+\.\d\d \| ETA 0:00:\d\d')


@pytest.fixture
def chain_cfg(tiny_cfg):
    """A function that gives a chain of some networks, 8 iterations each."""

    def make(*names, epochs=2):
        cfg = tiny_cfg(epochs, batch_size=8)
        cfg.chain.networks = {name: cfg.chain.networks[name] for name in names}
        cfg.default_hooks.logger.interval = 4
        cfg.default_hooks.live_progress = dict(interval=0)
        return cfg

    return make


def logged(cfg, name):
    path, = glob.glob(osp.join(cfg.work_dir, name, '2*', '*.log'))
    with open(path) as file:
        text = file.read()
    # Before this MMEngine writes to the file alone.
    lines = text[text.index('Checkpoints will be saved to '):].splitlines()[1:]
    # In the terminal without the year.
    return [re.sub(r'^\d{4}/', '', line) for line in lines]


def is_live(row):
    return re.match(r'\d/\d resnet', row)


def test_a_chain_in_a_terminal(terminal, chain_cfg, monkeypatch):
    here = terminal(columns=2000)
    cfg = chain_cfg('resnet14', 'resnet8')
    hook = LiveProgressHook.after_train_iter

    def reads_nothing(*args, **kwargs):
        with monkeypatch.context() as patch:
            for read in ('item', 'tolist', '__float__', '__int__'):
                patch.setattr(torch.Tensor, read, None)
            return hook(*args, **kwargs)

    monkeypatch.setattr(LiveProgressHook, 'after_train_iter', reads_nothing)
    ChainRunner(cfg).train()
    for name in ('resnet14', 'resnet8'):
        # The log as if there were nothing else.
        lines = logged(cfg, name)
        assert len([line for line in lines if 'Epoch(' in line]) == 6
        assert not set(lines) - set(here.screen)
    assert not any(is_live(row) for row in here.screen)
    drawn = here.drawn
    assert any(
        re.fullmatch(
            FULL.format('1/2 resnet14') + r' \| chain 0:00:\d\d', row)
        for row in drawn)
    assert any(re.fullmatch(FULL.format('2/2 resnet8'), row) for row in drawn)
    assert any(
        re.match(r'2/2 resnet8 \| validation ━+ 1/1', row) for row in drawn)
    # Before the logger has read a loss there is none.
    first = next(row for row in drawn if '| epoch 1/2' in row)
    assert 'loss' not in first and ' 1/8' in first
    assert '\x1b[?' not in here.text


def test_a_narrow_terminal(terminal, chain_cfg):
    here = terminal(columns=60)
    cfg = chain_cfg('resnet8')
    ChainRunner(cfg).train()
    shown = ''.join(here.screen)
    assert all(line in shown for line in logged(cfg, 'resnet8'))
    live = [row for row in here.drawn if is_live(row)]
    assert max(map(len, live)) < 60
    assert not any(is_live(row) for row in here.screen)
    assert any(
        re.fullmatch(
            r'1/1 resnet8 \| epoch 2/2 \S*[78]/8 \| loss [\d.]+ \| '
            r'ETA 0:00:\d\d',
            row.replace('━', '').replace('  ', ' ')) for row in live)


@pytest.mark.parametrize('error', [signal.SIGTERM, KeyboardInterrupt, OSError])
def test_however_a_training_ends(terminal, chain_cfg, monkeypatch, error):
    here = terminal()
    before = sys.stdout.write
    stop = StopHook.after_train_iter

    def at_last(self, runner, *args, **kwargs):
        if runner.iter == 2:
            if not isinstance(error, signal.Signals):
                raise error
            os.kill(os.getpid(), error)
        stop(self, runner, *args, **kwargs)

    monkeypatch.setattr(StopHook, 'after_train_iter', at_last)
    cfg = chain_cfg('resnet8')
    with pytest.raises(
            TrainingStopped if isinstance(error, signal.Signals) else error):
        ChainRunner(cfg).train()
    assert sys.stdout.write == before
    print('$ ', end='')
    assert here.screen[-1] == '$ '
    assert not any(is_live(row) for row in here.screen)
    assert any(' 3/8 ' in row for row in here.drawn)


def test_there_is_none_in_a_pipe(chain_cfg, capsys):
    ChainRunner(chain_cfg('resnet8', epochs=1)).train()
    written = capsys.readouterr()
    assert 'Epoch(train) [1][8/8]' in written.out
    assert '\x1b' not in written.out and '\r' not in written.out
    assert written.err == ''


def test_it_can_be_turned_off(terminal, chain_cfg, tmp_path):
    here = terminal()
    cfg = chain_cfg('resnet8', epochs=1)
    cfg.default_hooks.live_progress = None
    ChainRunner(cfg).train()
    # The stage's own config is one for any Runner, and the whole one is such
    # that it can be run again.
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    assert 'live_progress' not in stage.default_hooks
    again = Config.fromfile(osp.join(cfg.work_dir, 'config.py'))
    assert again.default_hooks.live_progress is None
    again.resume = True
    ChainRunner(again).test()
    assert not here.drawn


def test_it_does_not_keep_a_work_dir_from_resuming(chain_cfg):
    cfg = chain_cfg('resnet8', epochs=1)
    ChainRunner(cfg).train()
    cfg.resume = True
    cfg.default_hooks.live_progress = None
    assert ChainRunner(cfg).work.todo(True, None) == []


def test_a_mistake(chain_cfg):
    cfg = chain_cfg('resnet8')
    cfg.default_hooks.live_progress = dict(speed=3)
    with pytest.raises(
            ConfigError, match=r"default_hooks\.live_progress: .*'speed'"):
        ChainRunner(cfg)


def test_in_any_config(terminal, chain_cfg, tmp_path):
    cfg = chain_cfg('resnet8', epochs=1)
    ChainRunner(cfg).train()
    here = terminal()
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    stage.work_dir = str(tmp_path / 'alone')
    stage.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=6, val_interval=3)
    stage.default_hooks.live_progress = dict(
        type='mmrazor.LiveProgressHook', interval=0)
    Runner.from_cfg(stage).train()
    assert any(
        re.match(r'alone \| iter ━+ 6/6 \|.* loss .* top1 ', row)
        for row in here.drawn)
    assert 'write' not in vars(here.stream)
