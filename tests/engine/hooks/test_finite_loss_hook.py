# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is not finite does not get into the weights."""
import os.path as osp
import re
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdgkd import ConfigError, TrainingError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.finite_step import __main__ as command
from mmdgkd.engine.finite_step.replay import replay
from mmdgkd.engine.hooks.finite_loss_hook import FiniteLossHook
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.networks import network_of

SPOIL = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SpoilRank(Hook):
    def before_run(self, runner):
        model = getattr(runner.model, 'module', runner.model)

        def forward(module, args, kwargs):
            if (runner.iter, runner.rank) == (2, 1) and (
                    kwargs.get('mode') == 'loss'):
                kwargs['inputs'] = kwargs['inputs'] * float('nan')
            return args, kwargs

        model.register_forward_pre_hook(forward, with_kwargs=True)

# As if the host read the flag later, as it does from an accelerator.
from mmdgkd.engine.finite_step.step_guard import StepGuard
end = StepGuard.end

def late(self, ended):
    step = end(self, ended)
    if step is not None:
        step.is_known = False
    return step

StepGuard.end = late
"""


@HOOKS.register_module(force=True)
class Spoil(Hook):
    """Spoils steps, and keeps the state after each step."""

    # Not in the config, which must be the same when the training goes on.
    inputs = gradients = ()
    left = []
    priority = 'LOWEST'

    def before_run(self, runner):

        def forward(module, args, kwargs):
            if runner.iter in self.inputs and kwargs.get('mode') == 'loss':
                kwargs['inputs'] = kwargs['inputs'] * float('nan')
            return args, kwargs

        def backward(grad):
            spoiled = runner.iter in self.gradients
            return grad * float('inf') if spoiled else grad

        runner.model.register_forward_pre_hook(forward, with_kwargs=True)
        network_of(runner.model).head.fc.weight.register_hook(backward)

    def after_train_iter(self, runner, **kwargs):
        momentum = runner.optim_wrapper.optimizer.state_dict()['state']
        self.left.append(
            [value.clone() for value in runner.model.state_dict().values()] +
            [item['momentum_buffer'].clone() for item in momentum.values()])


@pytest.fixture
def train(trained, tmp_path, monkeypatch):
    """A function that trains a stage of four iterations: the message."""

    def run(inputs=(), gradients=(), max_skips=0, work_dir='resnet8'):
        cfg = Config.fromfile(
            osp.join(trained[0].work_dir, 'resnet8', 'config.py'))
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.model.architecture.backbone.drop_path_rate = 0.3
        for hook in cfg.custom_hooks:
            if 'FiniteLoss' in hook.type:
                hook.max_skips = max_skips
        # Rounds the logits of the teachers, as the chain does.
        cfg.custom_hooks += [
            dict(type='Spoil'),
            dict(
                type='mmrazor.LogitStoreHook',
                store_dir=str(tmp_path / f'{work_dir}_logits'))
        ]
        monkeypatch.setattr(Spoil, 'inputs', inputs)
        monkeypatch.setattr(Spoil, 'gradients', gradients)
        monkeypatch.setattr(Spoil, 'left', [])
        runner = Runner.from_cfg(cfg)
        cfg.dump(osp.join(cfg.work_dir, 'config.py'))
        try:
            runner.train()
        except TrainingError as error:
            return str(error)
        return None

    return run


def same(first, second):
    return all(map(torch.equal, first, second))


def test_it_stops_with_all_that_is_known(train, tmp_path):
    message = train(inputs=(2, ))
    dump = osp.join(tmp_path, 'resnet8', 'bad_step_3', 'rank_0.pth')
    assert re.fullmatch(
        r'resnet8: the loss is not finite in iteration 3 \(epoch 2\): '
        r'student.loss=nan, .*distill.loss_kd=nan, .*'
        r'\(samples (\d+, ){7}\d+ and 24 more\); the weights are as before '
        r'it; python -m mmdgkd.engine.finite_step \S+ repeats the step',
        message)
    assert '\n' not in message and dump in message
    # Weights and BN statistics are those of the last checkpoint.
    saved = read_checkpoint(osp.join(tmp_path, 'resnet8', 'epoch_1.pth'),
                            'x')['state_dict']
    dumped = read_checkpoint(dump, 'x')
    assert dumped['state_dict'].keys() == saved.keys()
    assert same(dumped['state_dict'].values(), saved.values())
    assert len(dumped['indices']) == 32 == len(dumped['views'])
    found = replay(dump)
    assert all(value != value for name, value in found['terms'].items()
               if 'loss' in name)


def test_a_gradient_counts_too_and_the_dump_repeats_the_step(
        train, tmp_path, monkeypatch, capsys):
    message = train(gradients=(1, ))
    assert 'resnet8: a gradient is not finite in iteration 2 ' in message
    dump = osp.join(tmp_path, 'resnet8', 'bad_step_2', 'rank_0.pth')
    found = replay(dump)
    # To the bit, with DropPath and rounded logits of teachers.
    assert found['terms'] == found['dumped'] and len(found['terms']) > 3
    assert not found['bad_gradients']
    capsys.readouterr()
    monkeypatch.setattr(sys, 'argv', ['finite_step', dump])
    command.main()
    assert 'gradients that are not finite: 0' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', ['finite_step', 'not_there.pth'])
    with pytest.raises(SystemExit, match='2'):
        command.main()
    error = capsys.readouterr().err
    assert error.startswith('error: dump: ') and error.count('\n') == 1
    dumped = read_checkpoint(dump, 'dump')
    dumped['state_dict'].popitem()
    torch.save(dumped, dump)
    with pytest.raises(ConfigError, match='dump: .* is of another archit'):
        replay(dump)


def test_bad_steps_are_skipped(train):
    assert train(inputs=(1, ), gradients=(2, ), max_skips=2) is None
    assert len(Spoil.left) == 4
    assert same(Spoil.left[0], Spoil.left[1])
    assert same(Spoil.left[1], Spoil.left[2])
    assert not same(Spoil.left[2], Spoil.left[3])
    assert all(torch.isfinite(value).all() for value in Spoil.left[3])


def test_one_too_many_in_a_row(train):
    message = train(inputs=(0, 2, 3), max_skips=1)
    assert 'in iteration 4 (epoch 2)' in message


def test_a_chain_goes_on_after_it(tiny_cfg, trained, weights_of):
    """To the bits of one that never stopped."""
    cfg = tiny_cfg(epochs=2)
    cfg.custom_hooks.append(dict(type='Spoil'))
    Spoil.inputs = (3, )
    try:
        with pytest.raises(TrainingError, match='^resnet20: the loss '):
            ChainRunner(cfg).train()
    finally:
        Spoil.inputs = ()
    cfg.resume = True
    ChainRunner(cfg).train()
    for name in ('resnet20', 'resnet8'):
        assert same(
            weights_of(cfg, name).values(),
            weights_of(trained[0], name).values())


def test_bad_option():
    with pytest.raises(ValueError, match='max_skips: -1 must be an integer'):
        FiniteLossHook(max_skips=-1)


@pytest.mark.slow
def test_no_rank_updates(tmp_path, root, fork_ranks):
    """Even if the host reads the flags two iterations later."""
    (tmp_path / 'spoil_rank.py').write_text(SPOIL)
    parent = root / 'tests/configs/survivor.py'
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(parent)!r}\n'
        "custom_imports = dict(imports=['mmdgkd', 'spoil_rank'])\n"
        "custom_hooks = [dict(type='mmrazor.FiniteLossHook'), "
        "dict(type='EMAHook'), dict(type='SpoilRank')]\n")
    work = tmp_path / 'work'
    text = fork_ranks(
        'tools/train.py', config, '--work-dir', work, codes=(3, 3))
    assert 'error: resnet20: the loss is not finite in iteration 3 ' \
        '(epoch 1): rank 1: loss=nan' in text
    saved = read_checkpoint(str(work / 'resnet20' / 'iter_2.pth'), 'x')
    assert 'bad_step_3/rank_1.pth repeats the step' in text
    # Its EMA has exchanged the two.
    raw = saved['ema_state_dict']
    for rank in (0, 1):
        dump = read_checkpoint(
            str(work / 'resnet20' / 'bad_step_3' / f'rank_{rank}.pth'), 'x')
        assert dump['rank'] == rank and len(dump['indices']) == 8
        for key, value in dump['state_dict'].items():
            if 'running' not in key:  # each rank has its own
                assert torch.equal(value, raw[f'module.{key}']), (rank, key)
            assert torch.isfinite(value).all(), (rank, key)
