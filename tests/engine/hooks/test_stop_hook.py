# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A signal stops a chain, and it goes on to the same bits."""
import os
import os.path as osp
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdgkd import TrainingStopped
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.checkpoint import checkpoint_meta


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Sends this process signals, once."""

    # (stage, point, iteration): signals. Not in the config, which must be the
    # same when the training goes on.
    plan = {}

    def _reach(self, runner, point):
        here = osp.basename(runner.work_dir), point, runner.iter
        for number in self.plan.pop(here, ()):
            os.kill(os.getpid(), number)

    def before_train_iter(self, runner, **kwargs):
        self._reach(runner, 'train')

    def before_val_iter(self, runner, **kwargs):
        self._reach(runner, 'val')

    def before_val(self, runner):
        self._reach(runner, 'before_val')

    def after_train(self, runner):
        self._reach(runner, 'after')


def stop(cfg, stage, point, iteration, *numbers, by=TrainingStopped):
    """Train until a signal: (message, checkpoints of the stage)."""
    SignalAt.plan = {(stage, point, iteration): numbers}
    with pytest.raises(by) as info:
        ChainRunner(cfg).train()
    assert not SignalAt.plan
    cfg.resume = True
    return str(info.value), sorted(
        name for name in os.listdir(osp.join(cfg.work_dir, stage))
        if name.endswith('.pth'))


@pytest.mark.slow
def test_it_goes_on_to_the_same_bits(tiny_cfg, trained, weights_of):
    """Stopped in the middle and at the end of epochs and stages."""
    cfg = tiny_cfg(epochs=2)
    cfg.custom_hooks.append(dict(type='SignalAt'))
    for stage, iteration, number in (('resnet20', 0, signal.SIGTERM),
                                     ('resnet20', 3, signal.SIGUSR1)):
        # The iteration is finished and saved.
        message, files = stop(cfg, stage, 'train', iteration, number)
        assert message == (
            f'stopped by {number.name} in {stage}; a checkpoint of iteration '
            f'{iteration + 1} is written; add --resume to go on')
        path = osp.join(cfg.work_dir, stage, f'iter_{iteration + 1}.pth')
        meta = checkpoint_meta(path, 'work_dir')
        assert (meta['iter'], meta['epoch']) == (iteration + 1, iteration // 2)
    # A validation is run later; the checkpoint of the epoch has all.
    for point in ('before_val', 'val'):
        _, files = stop(cfg, 'resnet14', point, 2, signal.SIGTERM)
        assert files == ['epoch_1.pth']
    message, _ = stop(cfg, 'resnet14', 'after', 4, signal.SIGTERM)
    assert message == ('stopped by SIGTERM before the stage "resnet8"; add '
                       '--resume to go on')
    # A second Ctrl-C stops at once.
    _, files = stop(
        cfg, 'resnet8', 'train', 1, *[signal.SIGINT] * 2, by=KeyboardInterrupt)
    assert files == []
    stop(cfg, 'resnet8', 'train', 2, signal.SIGINT)
    ledger = ChainRunner(cfg).train()
    for name in cfg.chain.networks:
        expected = weights_of(trained[0], name)
        for key, value in weights_of(cfg, name).items():
            assert torch.equal(value, expected[key]), (name, key)
        assert ledger[name]['metric'] == trained[1].work.ledger[name]['metric']


def test_gradients_that_wait_are_saved(tiny_cfg, weights_of):
    """Stopped in the second of three iterations for one update."""

    def cfg_for(name):
        cfg = tiny_cfg(epochs=3, work_dir=name)
        cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
        cfg.optim_wrapper.accumulative_counts = 3
        return cfg

    whole, cfg = cfg_for('whole'), cfg_for('stopped')
    ChainRunner(whole).train()
    cfg.custom_hooks.append(dict(type='SignalAt'))
    stop(cfg, 'resnet8', 'train', 4, signal.SIGTERM)
    ChainRunner(cfg).train()
    expected = weights_of(whole, 'resnet8')
    for key, value in weights_of(cfg, 'resnet8').items():
        assert torch.equal(value, expected[key]), key
