# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import re
import time
from types import SimpleNamespace

from mmengine.runner import EpochBasedTrainLoop

from mmdgkd.engine.hooks.chain_progress_hook import ChainProgressHook


class Runner:

    def __init__(self, epoch, max_epochs):
        self.epoch, self.max_epochs = epoch, max_epochs
        self.train_loop = object.__new__(EpochBasedTrainLoop)
        self.logged = []
        self.logger = SimpleNamespace(info=self.logged.append)


def test_it_logs_the_progress_of_the_chain(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    hook = ChainProgressHook(3, 6, 'resnet32', ['resnet110', 'resnet56'], 2.0)
    # Resumed after 10 of 160 epochs, 60 seconds each.
    runner = Runner(10, 160)
    hook.before_train(runner)
    now[0] = 120.0
    runner.epoch = 11
    hook.after_train_epoch(runner)
    # 148 epochs left here, and twice 160 to come.
    assert runner.logged == [
        'stage 3/6 resnet32 <- resnet110, resnet56 | epoch 12/160 | '
        'chain ETA 7:48:00'
    ]


def test_without_teachers():
    hook = ChainProgressHook(1, 1, 'resnet110', [])
    runner = Runner(0, 2)
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    assert re.fullmatch(
        r'stage 1/1 resnet110 \| epoch 1/2 \| chain ETA 0:00:0\d',
        runner.logged[0])
