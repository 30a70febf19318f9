# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Real trainings with a console of rich as their terminal."""
import io
import logging
import os.path as osp
import re
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.hooks import live_progress_hook
from mmdgkd.engine.hooks.live_progress_hook import LiveProgressHook
from mmdgkd.engine.hooks.stop_hook import StopHook

ERASE = '\r\x1b[2K'


class Screen:
    """What has been written to a console."""

    def __init__(self, file):
        self.text = re.sub(r'\x1b\[(\?25[hl]|[\d;]*m)', '', file.getvalue())
        # At the end rich begins a row below the line, and goes back.
        self.text = self.text.replace('\n\r\x1b[1A\x1b[2K', ERASE)
        # A form of the line stays until it is erased: it ends no row.
        self.drawn = [
            part for part in re.findall(r'[^\r\n]+(?=\n?\r|$)',
                                        self.text.replace('\x1b[2K', ''))
            if ' | ' in part
        ]
        self.rows = [row.rpartition(ERASE)[2] for row in self.text.split('\n')]


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes a console the terminal: its file."""
    for name in ('NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE', 'COLUMNS'):
        monkeypatch.delenv(name, raising=False)

    def make(width=120):
        file = io.StringIO()
        monkeypatch.setattr(
            live_progress_hook, '_terminal', lambda: Console(
                file=file, force_terminal=True, width=width, soft_wrap=True))
        return file

    return make


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


def test_a_chain_in_a_terminal(terminal, chain_cfg, monkeypatch):
    file = terminal(width=200)
    hook = LiveProgressHook.after_train_iter

    def reads_nothing(*args, **kwargs):
        with monkeypatch.context() as patch:
            for read in ('item', 'tolist', '__float__', '__int__'):
                patch.setattr(torch.Tensor, read, None)
            return hook(*args, **kwargs)

    monkeypatch.setattr(LiveProgressHook, 'after_train_iter', reads_nothing)
    before = sys.stdout
    ChainRunner(chain_cfg('resnet14', 'resnet8')).train()
    assert sys.stdout is before
    screen = Screen(file)
    # Whole lines of the log stand above it.
    logged = [row for row in screen.rows if ' - INFO - Epoch(' in row]
    assert len(logged) == 12, screen.rows
    assert all(re.match(r'\d\d/\d\d ', row) for row in logged)
    assert not any('━' in row for row in screen.rows)
    full = (r'{} \| epoch 2/2 ━+ [1-8]/8 \| [\d.]+ (it/s|s/it) \| loss '
            r'\d\.\d{{4}} \| top1 \d+\.\d\d \| ETA 0:00:\d\d{} *')
    drawn = '\n'.join(
        line.replace('╸', '━').replace('╺', '━') for line in screen.drawn)
    assert re.search(
        full.format('1/2 resnet14', r' \| chain 0:00:\d\d'), drawn), drawn
    assert re.search(full.format('2/2 resnet8', '') + '$', drawn, re.M)
    assert re.search(r'2/2 resnet8 \| validation ━+ 1/1', drawn)
    # Before the logger has read a loss there is none.
    first = next(row for row in screen.drawn if '| epoch 1/2' in row)
    assert 'loss' not in first and ' 1/8' in first


def test_a_narrow_terminal_shows_less(terminal, chain_cfg):
    file = terminal(width=64)
    ChainRunner(chain_cfg('resnet8')).train()
    drawn = Screen(file).drawn
    assert max(map(len, drawn)) <= 64
    assert any(
        re.fullmatch(
            r'1/1 resnet8 \| epoch 2/2 \S+ [78]/8 \| loss [\d.]+ \| '
            r'ETA 0:00:\d\d *', row) for row in drawn), drawn


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_however_a_training_ends(terminal, chain_cfg, monkeypatch, error):
    file, before = terminal(), sys.stdout
    stop = StopHook.after_train_iter

    def at_last(self, runner, *args, **kwargs):
        if runner.iter == 2:
            raise error
        stop(self, runner, *args, **kwargs)

    monkeypatch.setattr(StopHook, 'after_train_iter', at_last)
    with pytest.raises(error):
        ChainRunner(chain_cfg('resnet8')).train()
    assert sys.stdout is before
    screen = Screen(file)
    assert any(' 3/8 ' in row for row in screen.drawn)
    assert screen.rows[-1] == ''


def test_a_terminal_that_is_gone_ends_nothing(terminal, chain_cfg,
                                              monkeypatch):
    file = terminal()

    def gone(text):
        raise OSError

    monkeypatch.setattr(logging, 'raiseExceptions', False)
    file.write = gone
    ledger = ChainRunner(chain_cfg('resnet8', epochs=1)).train()
    assert ledger['resnet8']['state'] == 'done'


@pytest.mark.parametrize('is_tty, term, shown', [(False, 'xterm', False),
                                                 (True, 'dumb', False),
                                                 (True, 'xterm', True)])
def test_only_in_a_terminal(monkeypatch, is_tty, term, shown):
    # rich alone would take a pipe for a terminal.
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TERM', term)
    stream = io.StringIO()
    stream.isatty = lambda: is_tty
    monkeypatch.setattr(sys, 'stdout', stream)
    assert (live_progress_hook._terminal() is not None) == shown


def test_there_is_none_in_a_pipe(chain_cfg, capsys):
    cfg = chain_cfg('resnet8', epochs=1)
    ChainRunner(cfg).train()
    written = capsys.readouterr()
    assert 'Epoch(train) [1][8/8]' in written.out
    assert '\x1b' not in written.out and '\r' not in written.out
    # It does not keep a work dir from resuming.
    cfg.resume = True
    cfg.default_hooks.live_progress = None
    assert ChainRunner(cfg).work.todo(True) == []


def test_it_can_be_turned_off_and_on_in_any_config(terminal, chain_cfg,
                                                   tmp_path):
    cfg, file = chain_cfg('resnet8', epochs=1), terminal()
    cfg.default_hooks.live_progress = None
    ChainRunner(cfg).train()
    assert not file.getvalue()
    # The stage's own config is one for any Runner, and that of the chain
    # can be run again.
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    assert 'live_progress' not in stage.default_hooks
    again = Config.fromfile(osp.join(cfg.work_dir, 'config.py'))
    assert again.default_hooks.live_progress is None
    stage.work_dir = str(tmp_path / 'alone')
    stage.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=6, val_interval=3)
    stage.default_hooks.live_progress = dict(
        type='mmrazor.LiveProgressHook', interval=0)
    Runner.from_cfg(stage).train()
    assert any(
        re.match(r'alone \| iter ━+ 6/6 \|.* loss .* top1 ', row)
        for row in Screen(file).drawn)


def test_a_mistake(chain_cfg):
    cfg = chain_cfg('resnet8')
    cfg.default_hooks.live_progress = dict(speed=3)
    with pytest.raises(
            ConfigError, match=r"default_hooks\.live_progress: .*'speed'"):
        ChainRunner(cfg)


def test_the_first_metric_that_is_a_number():
    """As in the ledger: those by class, which come first, are none."""
    hook = LiveProgressHook()
    hook.after_val_epoch(None, {'a/by_class': [1., 2.], 'a/top1': 51.234})
    assert hook._validated == 'top1 51.23'
