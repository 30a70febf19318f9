# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains that are killed, and their files; a terminal and what is on it."""
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, DefaultScope

from mmdgkd.chain.runner import ChainRunner


@HOOKS.register_module(force=True)
class KillOnce(Hook):
    """A kill before a step of the stage of one network."""

    def __init__(self, network, iteration, once):
        self.network, self.iteration, self.once = network, iteration, once

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if (runner.iter == self.iteration and not os.path.exists(self.once)
                and runner.experiment_name.startswith(self.network)):
            open(self.once, 'w').close()
            raise KeyboardInterrupt


@pytest.fixture
def weights_of():
    """A function that gives the state dict of a trained network."""

    def read(cfg, name):
        return torch.load(
            f'{cfg.work_dir}/{name}/{name}.pth',
            weights_only=True)['state_dict']

    return read


@pytest.fixture
def built_from_file(weights_of):
    """A function that makes a trained network of its two files alone."""

    def build(cfg, name):
        alone = Config.fromfile(f'{cfg.work_dir}/{name}/{name}.py')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(alone.model)
        model.load_state_dict(weights_of(cfg, name))
        return model.eval()

    return build


@pytest.fixture
def guide_of():
    """A function that gives a guide as a trained stage has run it."""

    def build(cfg, stage, name):
        stage = Config.fromfile(f'{cfg.work_dir}/{stage}/config.py')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(stage.model).teachers[name]

    return build


@pytest.fixture
def killed_and_whole(weights_of):
    """A function that trains a chain twice, and gives a network's weights.

    Once it is killed in the stage of that network, before an iteration, and
    resumed.
    """

    def train(whole, torn, name, iteration):
        for cfg in (whole, torn):
            cfg.randomness = dict(seed=0)
        ChainRunner(whole).train()
        once = f'{torn.work_dir}.once'
        stage = torn.chain.networks[name].get('stage') or {}
        kill = dict(
            type='KillOnce', network=name, iteration=iteration, once=once)
        hooks = [*stage.get('custom_hooks', torn.custom_hooks), kill]
        torn.chain.networks[name].stage = dict(stage, custom_hooks=hooks)
        with pytest.raises(KeyboardInterrupt):
            ChainRunner(torn).train()
        torn.resume = True
        ChainRunner(torn).train()
        assert os.path.exists(once)
        return weights_of(whole, name), weights_of(torn, name)

    return train


class Terminal:
    """A real pseudo terminal whose other end is read."""

    def __init__(self, columns):
        self.columns = columns
        self.bytes = b''
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', 24, columns, 0, 0))
        self.stream = open(slave, 'w', encoding='utf-8')
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                break
            if not chunk:
                break
            self.bytes += chunk

    def close(self):
        """Close it and have read all."""
        if not self.stream.closed:
            self.stream.close()
            self._reader.join()
            os.close(self._master)

    @property
    def text(self):
        """All that was written to it."""
        self.close()
        return self.bytes.decode()

    @property
    def screen(self):
        """What is on it at last: its rows, the ones scrolled away, too."""
        return screen(self.text, self.columns)

    @property
    def drawn(self):
        """Each form of the live line, without colors."""
        plain = re.sub(r'\x1b\[[0-9;]*m', '', self.text)
        return [
            part for part in re.findall(r'\r\x1b\[2K([^\r\n]*)', plain)
            if part and not re.match(r'\d\d/\d\d ', part)
        ]


def screen(text, columns):
    """What a terminal shows of a text; it knows what may be written."""
    rows, column = [[]], 0
    for part in re.findall(r'\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]|\x1b', text):
        if part == '\x1b[2K':
            rows[-1] = []
        elif re.fullmatch(r'\x1b\[[0-9;]*m', part):
            pass
        elif part == '\r':
            column = 0
        elif part == '\n':
            rows.append([])
        else:
            assert part.isprintable(), repr(part)
            if column == columns:
                rows.append([])
                column = 0
            rows[-1] += [' '] * (column + 1 - len(rows[-1]))
            rows[-1][column] = part
            column += 1
    return [''.join(row) for row in rows]


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes a terminal the standard output and error."""
    made = []
    for name in ('NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE', 'COLUMNS'):
        monkeypatch.delenv(name, raising=False)

    def make(columns=120, term='xterm-256color'):
        monkeypatch.setenv('TERM', term)
        made.append(Terminal(columns))
        monkeypatch.setattr(sys, 'stdout', made[-1].stream)
        monkeypatch.setattr(sys, 'stderr', made[-1].stream)
        return made[-1]

    yield make
    for one in made:
        one.close()
