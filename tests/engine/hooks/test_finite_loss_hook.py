# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is not finite does not get into the weights."""
import os.path as osp
import re

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdgkd import TrainingError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.finite_step.replay import replay
from mmdgkd.engine.hooks.finite_loss_hook import FiniteLossHook
from mmdgkd.fileio.checkpoint import read_checkpoint

STAGE = 'resnet8'


@HOOKS.register_module(force=True)
class Spoil(Hook):
    """Spoils steps of the last stage, and notes what all steps leave."""

    # Not in the config, which must be the same when the training goes on.
    inputs = ()
    gradients = ()
    left = []
    priority = 'LOWEST'

    def before_run(self, runner):
        if osp.basename(runner.work_dir) != STAGE:
            return

        def forward(module, args, kwargs):
            if runner.iter in self.inputs and kwargs.get('mode') == 'loss':
                kwargs['inputs'] = kwargs['inputs'] * float('nan')
            return args, kwargs

        def backward(grad):
            return grad * float(
                'inf') if runner.iter in self.gradients else grad

        runner.model.register_forward_pre_hook(forward, with_kwargs=True)
        runner.model.architecture.head.fc.weight.register_hook(backward)

    def after_train_iter(self, runner, **kwargs):
        if osp.basename(runner.work_dir) == STAGE:
            state = runner.model.state_dict()
            momentum = runner.optim_wrapper.optimizer.state_dict()['state']
            self.left.append([value.clone() for value in state.values()] + [
                item['momentum_buffer'].clone() for item in momentum.values()
            ])


@pytest.fixture
def spoiled(tiny_cfg):
    """A function that trains a chain with spoiled steps: (cfg, message)."""

    def train(inputs=(), gradients=(), max_skips=0, **kwargs):
        cfg = tiny_cfg(epochs=2, **kwargs)
        network = cfg.chain.networks.resnet8
        network.model.backbone.drop_path_rate = 0.3
        next(hook for hook in cfg.custom_hooks
             if 'FiniteLoss' in hook.type).max_skips = max_skips
        cfg.custom_hooks.append(dict(type='Spoil'))
        Spoil.inputs, Spoil.gradients, Spoil.left = inputs, gradients, []
        if kwargs.get('work_dir') == 'resumed':
            cfg.resume = True
        try:
            ChainRunner(cfg).train()
        except TrainingError as error:
            return cfg, str(error)
        return cfg, None

    yield train
    Spoil.inputs = Spoil.gradients = ()


def same(first, second):
    return all(map(torch.equal, first, second))


def test_it_stops_with_all_that_is_known(spoiled, tiny_cfg):
    cfg, message = spoiled(inputs=(2, ))
    dump = osp.join(cfg.work_dir, STAGE, 'bad_step_3', 'rank_0.pth')
    assert re.fullmatch(
        r'resnet8: the loss is not finite in iteration 3 \(epoch 2\): '
        r'student.loss=nan, student.\S*distill.loss_kd=nan, .*'
        r'\(samples (\d+, ){7}\d+ and 24 more\); the weights are as before '
        r'it; python -m mmdgkd.engine.finite_step \S+ repeats the step'.
        replace(r'student.\S*', r'.*'), message)
    assert '\n' not in message and dump in message
    # Weights and BN statistics are those of the last checkpoint.
    saved = read_checkpoint(osp.join(cfg.work_dir, STAGE, 'epoch_1.pth'),
                            'x')['state_dict']
    dumped = read_checkpoint(dump, 'x')
    assert all(
        torch.equal(value, saved[key])
        for key, value in dumped['state_dict'].items())
    assert len(dumped['indices']) == 32 == len(dumped['views'])
    found = replay(dump)
    assert all(value != value for name, value in found['terms'].items()
               if 'loss' in name)
    # Mended, the same command goes on, to the bits of a run without it.
    Spoil.inputs = ()
    cfg.resume = True
    ChainRunner(cfg).train()
    whole, _ = spoiled(work_dir='whole')
    files = [
        read_checkpoint(osp.join(work, STAGE, 'epoch_2.pth'), 'x')
        for work in (cfg.work_dir, whole.work_dir)
    ]
    for key, value in files[0]['state_dict'].items():
        assert torch.equal(value, files[1]['state_dict'][key]), key


def test_a_gradient_counts_too_and_the_dump_repeats_the_step(spoiled):
    cfg, message = spoiled(gradients=(1, ))
    assert 'resnet8: a gradient is not finite in iteration 2 ' in message
    dump = osp.join(cfg.work_dir, STAGE, 'bad_step_2', 'rank_0.pth')
    found = replay(dump)
    # To the bit, with DropPath and rounded logits of teachers.
    assert found['terms'] == found['dumped'] and len(found['terms']) > 3
    assert not found['bad_gradients']


def test_bad_steps_are_skipped(spoiled):
    cfg, message = spoiled(inputs=(1, ), gradients=(2, ), max_skips=2)
    assert message is None and len(Spoil.left) == 4
    assert same(Spoil.left[0], Spoil.left[1])
    assert same(Spoil.left[1], Spoil.left[2])
    assert not same(Spoil.left[2], Spoil.left[3])
    assert all(torch.isfinite(value).all() for value in Spoil.left[3])


def test_one_too_many_in_a_row(spoiled):
    _, message = spoiled(inputs=(0, 2, 3), max_skips=1)
    assert 'in iteration 4 (epoch 2)' in message


def test_bad_option():
    with pytest.raises(ValueError, match='max_skips: -1 must be a whole'):
        FiniteLossHook(max_skips=-1)
