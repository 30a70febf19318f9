# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A training resumes from its own checkpoints only."""
import copy
import math
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mmdgkd import ConfigError
from mmdgkd.engine.hooks._rank_state import restore_rank_state
from mmdgkd.engine.hooks.resume_check_hook import (ResumeCheckHook,
                                                   check_processes,
                                                   check_state)


@pytest.fixture(scope='module')
def stage(trained, tmp_path_factory):
    """A Runner of a distilled stage, all built, and its checkpoint."""
    folder = osp.join(trained[0].work_dir, 'resnet8')
    cfg = Config.fromfile(osp.join(folder, 'config.py'))
    cfg.work_dir = str(tmp_path_factory.mktemp('alone'))
    runner = Runner.from_cfg(cfg)
    # The property builds it.
    runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(
        runner.param_schedulers)
    path = osp.join(folder, 'epoch_1.pth')
    return runner, torch.load(path, weights_only=True)


def renamed(checkpoint):
    state = checkpoint['state_dict']
    checkpoint['state_dict'] = {f'x.{key}': x for key, x in state.items()}


def without(*keys):

    def remove(checkpoint):
        for key in keys[:-1]:
            checkpoint = checkpoint[key]
        del checkpoint[keys[-1]]

    return remove


def replaced(value, *keys):

    def replace(checkpoint):
        for key in keys[:-1]:
            checkpoint = checkpoint[key]
        checkpoint[keys[-1]] = value

    return replace


def fewer_weights(checkpoint):
    checkpoint['optimizer']['param_groups'][0]['params'].pop()


def other_momentum(checkpoint):
    first = next(iter(checkpoint['optimizer']['state'].values()))
    first['momentum_buffer'] = torch.zeros(3)


def of_adam(checkpoint):
    group = checkpoint['optimizer']['param_groups'][0]
    del group['momentum']
    group['betas'] = (.9, .999)


def other_schedule(checkpoint):
    first = checkpoint['param_schedulers'][0]
    del first['total_iters']
    first['milestones'] = [1]


BIAS = ('state_dict', 'architecture.head.fc.bias')


@pytest.mark.parametrize('change, message', [
    (renamed, r'of another architecture: .* is missing \(\d+ such'),
    (without(*BIAS), 'of another architecture: .*fc.bias is missing'),
    (replaced(torch.zeros(10), 'state_dict', 'more'), 'more is unknown'),
    (replaced(torch.zeros(3), *BIAS), r'fc.bias is \(3,\), not \(10,\)'),
    (replaced({}, 'state_dict'), 'has no state_dict'),
    (without('state_dict'), 'has no state_dict'),
    (replaced([], 'state_dict'), 'has no state_dict'),
    (replaced({'a': 1}, 'ema_state_dict'), 'no EMAHook'),
    (without('message_hub'), 'has no message_hub'),
    (replaced('x', 'message_hub', 'log_scalars'), 'has no message_hub'),
    (without('optimizer'), 'another training: it has no optimizer'),
    (replaced([], 'optimizer'), 'has no optimizer and param_schedulers'),
    (without('optimizer', 'state'), 'has no optimizer and param_schedulers'),
    (fewer_weights, r'its optimizer has \d+ weights in 1 groups, not \d+'),
    (other_momentum, r'momentum_buffer of weight 0 .* is \(3,\), not'),
    (replaced({}, 'optimizer', 'state', 999), 'state 999 of no weight'),
    (of_adam, 'its optimizer has betas, and no momentum'),
    (without('param_schedulers'), 'it has 0 param_schedulers, not 2'),
    (replaced([{}], 'param_schedulers'), 'has 1 param_schedulers, not 2'),
    (replaced(3, 'param_schedulers'), 'has no optimizer and param_schedulers'),
    (replaced('x', 'optimizer', 'param_groups', 0,
              'lr'), "lr of its optimizer is 'x', here it is 0"),
    (replaced('x', 'optimizer', 'param_groups', 0, 'maximize'),
     "maximize of its optimizer is 'x', here it is False"),
    (replaced({}, 'param_schedulers',
              0), 'its param_scheduler has no _global'),
    (replaced(math.inf, 'param_schedulers', 0, 'last_step'),
     'last_step of its param_scheduler is inf, here it is 0'),
    (replaced([], 'param_schedulers', 1, 'base_values'),
     r'base_values of its param_scheduler is \[\], here it is \['),
    (replaced(3, 'param_schedulers', 1, 'param_name'),
     "param_name of its param_scheduler is 3, here it is 'lr'"),
    (replaced(-1, 'message_hub', 'resumed_keys', 'iter'), 'no message_hub of'),
    (other_schedule, 'param_scheduler has milestones, and no total_iters'),
    (replaced(math.inf, 'meta', 'iter'), 'no iter and epoch that are integer'),
    (replaced(None, 'meta'), 'no iter and epoch that are integers'),
])
def test_what_is_not_of_this_training(stage, change, message):
    runner, checkpoint = stage
    checkpoint = copy.deepcopy(checkpoint)
    check_state(runner, checkpoint, 'a.pth', 'work_dir')
    change(checkpoint)
    with pytest.raises(ConfigError, match=message) as error:
        check_state(runner, checkpoint, 'a.pth', 'work_dir')
    assert str(error.value).startswith("work_dir: 'a.pth' ")
    assert '\n' not in str(error.value)


def test_averages_fit_too(stage):
    runner, checkpoint = stage
    hook = EMAHook()
    hook.before_run(runner)
    checkpoint = dict(checkpoint)
    runner._hooks.append(hook)
    try:
        with pytest.raises(ConfigError, match='has no ema_state_dict'):
            check_state(runner, checkpoint, 'a.pth', 'work_dir')
        averages = checkpoint['ema_state_dict'] = hook.ema_model.state_dict()
        check_state(runner, checkpoint, 'a.pth', 'work_dir')
        del averages['module.architecture.head.fc.bias']
        with pytest.raises(ConfigError, match='module.*fc.bias is missing'):
            check_state(runner, checkpoint, 'a.pth', 'work_dir')
    finally:
        runner._hooks.remove(hook)


def test_what_the_config_leaves_out_is_not_missed(stage, monkeypatch):
    runner, checkpoint = stage
    checkpoint = {
        key: part
        for key, part in checkpoint.items()
        if key not in ('optimizer', 'param_schedulers')
    }
    saving = next(
        hook for hook in runner.hooks if hasattr(hook, 'save_optimizer'))
    monkeypatch.setattr(saving, 'save_optimizer', False)
    monkeypatch.setattr(saving, 'save_param_scheduler', False)
    check_state(runner, checkpoint, 'a.pth', 'work_dir')


def test_mixed_precision_has_a_scale(stage, monkeypatch):
    runner, checkpoint = stage
    monkeypatch.setattr(
        runner.optim_wrapper, 'loss_scaler', None, raising=False)
    with pytest.raises(ConfigError, match='its optimizer has no loss_scaler'):
        check_state(runner, checkpoint, 'a.pth', 'work_dir')
    optimizer = dict(checkpoint['optimizer'], loss_scaler={})
    check_state(runner, dict(checkpoint, optimizer=optimizer), 'a.pth', 'x')


def test_weights_to_begin_from_are_not_a_training(stage):
    runner, _ = stage
    assert not runner._resume
    ResumeCheckHook().after_load_checkpoint(runner, {})


def test_what_a_rank_had_fits(stage):
    runner, _ = stage
    model = runner.model
    name = next(name for name, _ in model.named_buffers())
    for state in (dict(buffers=[{
            name: torch.zeros(1, 7)
    }]), dict(grads={'architecture.head.fc.bias': torch.zeros(3)})):
        with pytest.raises(ConfigError, match='of a rank in the checkpoint'):
            restore_rank_state(runner, [state])
    runner.optim_wrapper.zero_grad()
    for states in ('x', [3], [dict(buffers={})], [dict(grads=dict(a=3))]):
        with pytest.raises(ConfigError, match='"ranks" in the checkpoint is'):
            restore_rank_state(runner, states)


@pytest.mark.parametrize('meta, message', [
    (dict(processes=2, epoch_length=1), 'was written by 2 processes with 1 '
     'iterations an epoch, this run of 1 process has 2; resume with 2 '
     'processes'),
    (dict(processes=1, epoch_length=3), 'was written with 3 iterations an '
     'epoch, now there are 2; put back the data'),
    (dict(processes=2, epoch_length=2), None),
    (dict(epoch_length=1), None),
    (dict(processes=2, epoch_length=1, epoch=2), None),
])
def test_an_epoch_has_as_many_iterations(stage, meta, message):
    """Not if it is known to be another number, and there are any left."""
    loop = stage[0].train_loop
    meta = {'epoch': 1, 'iter': 1, **meta}
    if message is None:
        check_processes(loop, meta, 'a.pth')
        return
    with pytest.raises(ConfigError, match=message):
        check_processes(loop, meta, 'a.pth')


class ByIterations:
    max_iters = 9


def test_iterations_need_as_many_processes():
    check_processes(ByIterations, dict(processes=1, iter=4), 'a.pth')
    check_processes(ByIterations, dict(processes=2, iter=9), 'a.pth')
    with pytest.raises(
            ConfigError,
            match='by 2 processes, this run is of 1; resume with 2'):
        check_processes(ByIterations, dict(processes=2, iter=4), 'a.pth')
