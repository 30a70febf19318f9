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

NAMES = ('resnet20', 'resnet14', 'resnet8')


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


def stopped(cfg, stage, point, iteration, *numbers, by=TrainingStopped):
    cfg.custom_hooks.append(dict(type='SignalAt'))
    SignalAt.plan = {(stage, point, iteration): numbers}
    with pytest.raises(by) as info:
        ChainRunner(cfg).train()
    assert not SignalAt.plan
    return str(info.value)


def weights_of(work_dir, name):
    return torch.load(osp.join(work_dir, name, f'{name}.pth'))['state_dict']


def goes_on_to_the_same_bits(cfg, trained):
    cfg.resume = True
    ledger = ChainRunner(cfg).train()
    for name in NAMES:
        expected = weights_of(trained[0].work_dir, name)
        for key, value in weights_of(cfg.work_dir, name).items():
            assert torch.equal(value, expected[key]), (name, key)
        assert ledger[name]['metric'] == trained[1].work.ledger[name]['metric']


@pytest.mark.parametrize('place', [
    pytest.param(
        ('resnet20', 'train', 0, signal.SIGTERM), marks=pytest.mark.slow),
    ('resnet14', 'train', 1, signal.SIGUSR1),
    ('resnet8', 'train', 2, signal.SIGINT),
    pytest.param(
        ('resnet8', 'train', 3, signal.SIGTERM), marks=pytest.mark.slow),
])
def test_the_iteration_is_finished_and_saved(tiny_cfg, trained, place):
    cfg = tiny_cfg(epochs=2)
    stage, _, iteration, number = place
    message = stopped(cfg, *place)
    assert message == (
        f'stopped by {number.name} in {stage}; a checkpoint of iteration '
        f'{iteration + 1} is written; add --resume to go on')
    path = osp.join(cfg.work_dir, stage, f'iter_{iteration + 1}.pth')
    meta = checkpoint_meta(path, 'work_dir')
    assert (meta['iter'], meta['epoch']) == (iteration + 1, iteration // 2)
    goes_on_to_the_same_bits(cfg, trained)


@pytest.mark.parametrize(
    'point', [pytest.param('before_val', marks=pytest.mark.slow), 'val'])
def test_a_validation_is_made_up_for(tiny_cfg, trained, point):
    cfg = tiny_cfg(epochs=2)
    stopped(cfg, 'resnet14', point, 2, signal.SIGTERM)
    # The checkpoint of the epoch says all that there is.
    folder = osp.join(cfg.work_dir, 'resnet14')
    assert sorted(
        name for name in os.listdir(folder)
        if name.endswith('.pth')) == ['epoch_1.pth']
    goes_on_to_the_same_bits(cfg, trained)


@pytest.mark.slow
def test_between_two_stages(tiny_cfg, trained):
    cfg = tiny_cfg(epochs=2)
    message = stopped(cfg, 'resnet20', 'after', 4, signal.SIGTERM)
    assert message == ('stopped by SIGTERM before the stage "resnet14"; add '
                       '--resume to go on')
    goes_on_to_the_same_bits(cfg, trained)


def test_a_second_ctrl_c_stops_at_once(tiny_cfg, trained):
    cfg = tiny_cfg(epochs=2)
    stopped(
        cfg,
        'resnet14',
        'train',
        1,
        signal.SIGINT,
        signal.SIGINT,
        by=KeyboardInterrupt)
    assert not osp.exists(osp.join(cfg.work_dir, 'resnet14', 'iter_2.pth'))
    goes_on_to_the_same_bits(cfg, trained)


def test_gradients_that_wait_are_saved(tiny_cfg):
    """Stopped in the second of three iterations for one update."""

    def cfg_for(name):
        cfg = tiny_cfg(epochs=3, work_dir=name)
        cfg.optim_wrapper.accumulative_counts = 3
        return cfg

    whole, cfg = cfg_for('whole'), cfg_for('stopped')
    ChainRunner(whole).train()
    stopped(cfg, 'resnet8', 'train', 4, signal.SIGTERM)
    cfg.resume = True
    ChainRunner(cfg).train()
    expected = weights_of(whole.work_dir, 'resnet8')
    for key, value in weights_of(cfg.work_dir, 'resnet8').items():
        assert torch.equal(value, expected[key]), key
