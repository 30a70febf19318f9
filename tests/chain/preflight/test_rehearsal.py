# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a stage would end in after hours is found before it begins."""
import copy
import glob
import os
import random
import re
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from chain_fixtures import ONE_BY_ONE
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import HOOKS, METRICS
from mmengine.visualization import Visualizer
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS

from mmdgkd import TrainingStopped
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.backbones.resnet_6n2 import ResNet6n2
from mmdgkd.utils import peers
from mmdgkd.utils.random import states

USER_CODE = """
from torch import nn
from mmpretrain.registry import MODELS
from mmdgkd.models.backbones.resnet_6n2 import ResNet6n2

@MODELS.register_module(force=True)
class HalfUsed(ResNet6n2):

    def __init__(self, depth, **kwargs):
        super().__init__(depth, **kwargs)
        self.spare = nn.Linear(2, 2)
"""

DIGITS = 'configs/dgkd/resnet20_to_resnet8_digits.py'


@MODELS.register_module()
class NamelessHead(LinearClsHead):
    """Its loss has another name."""

    def loss(self, *args, **kwargs):
        return dict(ce=super().loss(*args, **kwargs)['loss'])


@MODELS.register_module()
class FrozenHead(LinearClsHead):
    """Its loss depends on nothing."""

    def loss(self, *args, **kwargs):
        return dict(loss=super().loss(*args, **kwargs)['loss'].detach())


@MODELS.register_module()
class OneImageOnly(ResNet6n2):
    """Cannot be trained with a batch of one image."""

    def forward(self, x):
        assert len(x) > 1 or not self.training, 'one image'
        return super().forward(x)


@METRICS.register_module()
class FailingMetric(BaseMetric):
    """Fails at the end of a validation."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        raise KeyError('f1')


@HOOKS.register_module()
class AfterEpochs(Hook):
    """Fails at the end of an epoch."""

    error = RuntimeError('no disk\nof that name')

    def after_train_epoch(self, runner):
        raise self.error


@HOOKS.register_module()
class StopsItself(Hook):
    """Sends a signal to this process."""

    def before_train_iter(self, runner, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class Drawing(Hook):
    """Draws from all generators, and counts the batches."""

    sizes = []

    def before_train_iter(self, runner, batch_idx, data_batch):
        random.random(), np.random.rand(), torch.rand(1)
        self.sizes.append((runner.experiment_name.split('_')[0],
                           len(data_batch['inputs'][0])))


@pytest.mark.parametrize('name', ['resnet20', 'resnet8'])
def test_a_head_whose_loss_would_only_be_logged(tiny_cfg, refused, name):
    cfg = tiny_cfg()
    cfg.chain.networks[name].model.head.type = 'NamelessHead'
    refused(
        cfg, 'nothing would be trained: nothing in its losses with "loss"'
        if name == 'resnet20' else r'model.head: its losses \(ce\) have no '
        f'"loss" in their names, .*; "loss_ce" would be right .stage "{name}')
    # Without a weight it is only logged in any case.
    cfg.model.task_loss_weight = 0.0
    if name == 'resnet8':
        cfg.chain.networks.resnet14 = None
        assert 'rehearsal: ' in ChainRunner(cfg).plan()


@pytest.mark.parametrize('changes, message', [
    ({
        'chain.networks.resnet20.model.head.type': 'FrozenHead'
    },
     'chain.networks.resnet20.model: for the stage "resnet20": nothing would '
     ),
    ({
        'val_evaluator.topk': (1, 11)
    }, 'val_evaluator: for the stage "resnet20": .*Top-11 '),
    ({
        'val_evaluator': [dict(type='FailingMetric')]
    }, "val_evaluator: for the stage \"resnet20\": 'f1'; the traceback"),
    ({
        'custom_hooks': [dict(type='AfterEpochs')]
    }, 'custom_hooks: AfterEpochs: .*RuntimeError: no disk; the traceback'),
    ({
        'custom_hooks': [dict(type='EarlyStoppingHook', monitor='accuracy')]
    }, "custom_hooks: EarlyStoppingHook.monitor: 'accuracy' is none of the "
     'metrics of the validation, which are accuracy/top1'),
    ({
        'custom_hooks': [dict(type='EMAHook', momentun=.1)]
    }, 'custom_hooks: EMAHook: .*momentun'),
    ({
        'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='loss')]
    }, "param_scheduler: ReduceOnPlateauLR.monitor: 'loss' is none of"),
    ({
        'default_hooks.checkpoint.save_best': 'top1'
    }, "default_hooks.checkpoint: .*'?top1"),
    ({
        'randomness': dict(sead=1)
    }, r'randomness: .*sead'),
    ({
        'data_preprocessor.meam': [1.]
    }, 'data_preprocessor.meam: .*; "mean" is meant'),
    ({
        'chain.networks.resnet8.model.backbone.type': 'OneImageOnly',
        'train_dataloader.batch_size': 21,
        'chain.networks.resnet14': None
    }, 'model: for the stage "resnet8": AssertionError: one image'),
    ({
        'train_cfg.val_interval': 'x'
    }, "train_cfg.val_interval: 'x' must be a number or None"),
    ({
        'default_hooks.logger.interval': 2.5
    }, 'default_hooks.logger.interval: .*: 2.5 must be an integer'),
    ({
        **ONE_BY_ONE, 'train_dataloader.dataset.pipeline': []
    }, 'train_dataloader.dataset.pipeline: returns no data sample'),
])
def test_what_is_found(tiny_cfg, refused, changes, message):
    cfg = tiny_cfg()
    cfg.merge_from_dict(changes)
    line = refused(cfg, message)
    if 'the traceback is in ' in line:
        path = Path(line.split('the traceback is in ')[1])
        assert 'Traceback' in path.read_text()
        path.unlink()


def test_the_smallest_batch_of_an_epoch_is_tried(tiny_cfg):
    cfg = tiny_cfg(images=110, batch_size=30)
    cfg.custom_hooks.append(dict(type='Drawing'))
    cfg.chain.preflight = dict(steps=3)
    Drawing.sizes.clear()
    ChainRunner(cfg).plan()
    assert Drawing.sizes == [('resnet20', 30), ('resnet20', 30),
                             ('resnet20', 20), ('resnet14', 30),
                             ('resnet14', 30), ('resnet14', 20),
                             ('resnet8', 30), ('resnet8', 30), ('resnet8', 20)]


def test_a_data_set_is_built_once(tiny_cfg, monkeypatch):
    from mmdgkd.datasets.digits import Digits
    built, load = [], Digits.load_data_list

    def count(self):
        built.append(self.split)
        return load(self)

    monkeypatch.setattr(Digits, 'load_data_list', count)
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    ChainRunner(cfg).plan()
    assert sorted(built) == ['test', 'train']


@pytest.mark.parametrize('changes', [
    {
        'chain.networks.resnet20.model.head.cal_acc': True
    },
    {
        'train_cfg': dict(type='IterBasedTrainLoop', max_iters=5),
        'param_scheduler': [],
        'train_dataloader.sampler': dict(type='InfiniteSampler'),
        'train_dataloader.batch_size': 21,
        'chain.networks.resnet20.model.backbone.type': 'OneImageOnly'
    },
    {
        'train_cfg.max_epochs': 3,
        'train_cfg.val_begin': 2,
        'default_hooks.checkpoint.interval': -1
    },
])
def test_what_trains_is_not_refused(tiny_cfg, changes):
    """Accuracy beside the loss; a short batch that never comes."""
    cfg = tiny_cfg()
    if 'train_cfg' in changes:
        cfg.pop('train_cfg')
    cfg.merge_from_dict(changes)
    cfg.chain.preflight = True
    assert 'rehearsal: 3 stages' in ChainRunner(cfg).plan()


def test_a_folder_for_checkpoints_stays_empty(tiny_cfg, refused, tmp_path):
    cfg = tiny_cfg()
    cfg.default_hooks.checkpoint.out_dir = str(tmp_path / 'out')
    refused(cfg, 'default_hooks.checkpoint: .* no out_dir')
    assert not (tmp_path / 'out').exists()


def test_what_a_stage_sets_for_the_process_is_set_back(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    cfg.chain.networks.resnet8.stage = dict(
        randomness=dict(deterministic=True))
    ChainRunner(cfg).plan()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_no_folder_can_be_made(tiny_cfg, refused, monkeypatch, tmp_path):
    cfg = tiny_cfg()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'none'))
    refused(cfg, r'chain.preflight: no folder can be made for it .*; '
            'set TMPDIR')


def test_stopped_before_any_training(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    cfg.custom_hooks.append(dict(type='StopsItself'))
    with pytest.raises(
            TrainingStopped,
            match='stopped in the rehearsal of the stage "resnet20", before'):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


def test_a_lost_process_is_no_mistake(tiny_cfg, monkeypatch):
    monkeypatch.setattr(peers, 'is_initialized', lambda: True)
    error = RuntimeError('[/torch/gloo/pair.cc:5] Connection closed by peer')
    monkeypatch.setattr(AfterEpochs, 'error', error)
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    cfg.custom_hooks.append(dict(type='AfterEpochs'))
    with pytest.raises(RuntimeError, match='closed by peer') as found:
        ChainRunner(cfg).train()
    assert found.value is error


def instances():
    return [[*kind._instance_dict]
            for kind in (MMLogger, MessageHub, Visualizer)]


def test_everything_is_as_before(tiny_cfg, weights_of, tmp_path, monkeypatch):
    """Generators, files, and the bits of what is trained after it."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    found = []
    for preflight in (False, True):
        cfg = tiny_cfg(epochs=2, work_dir=f'work_{preflight}')
        cfg.chain.preflight = preflight
        cfg.randomness = dict(seed=3)
        cfg.custom_hooks.append(dict(type='Drawing'))
        runner = ChainRunner(cfg)
        before = states(), instances()
        plan = runner.plan()
        assert ('rehearsal: 3 stages' in plan) == preflight
        assert (states(), instances()) == before
        assert not glob.glob(str(tmp_path / 'mmdgkd_*'))
        ledger = runner.train()
        found.append([(weights_of(cfg, name), ledger[name]['metric'])
                      for name in cfg.chain.networks])
    for (weights, metric), (others, other) in zip(*found):
        assert metric == other
        for key, data in weights.items():
            assert torch.equal(data, others[key]), key


def test_only_what_is_to_be_trained(trained):
    cfg, _ = trained
    again = copy.deepcopy(cfg)
    again.chain.preflight = True
    again.resume = True
    plan = ChainRunner(again).plan()
    assert 'rehearsal' not in plan


def test_a_given_teacher_and_a_network_without_data(tiny_cfg, trained):
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    cfg.chain.networks.resnet20.ckpt_path = os.path.join(
        trained[0].work_dir, 'resnet20', 'resnet20.pth')
    assert 'rehearsal: 2 stages' in ChainRunner(cfg).plan()


def test_trained_by_iterations(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.preflight = True
    cfg.train_cfg = dict(by_epoch=False, max_iters=100, val_interval=50)
    cfg.param_scheduler = [
        dict(type='CosineAnnealingLR', T_max=100, by_epoch=False)
    ]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=50, by_epoch=False)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    assert 'rehearsal: 3 stages of 2 steps' in ChainRunner(cfg).plan()


def test_a_config_without_a_default_runtime(tiny_cfg):
    cfg = tiny_cfg()
    for key in ('default_scope', 'default_hooks', 'custom_hooks', 'env_cfg',
                'randomness', 'log_processor'):
        cfg.pop(key, None)
    cfg.chain.preflight = True
    assert 'rehearsal: 3 stages' in ChainRunner(cfg).plan()


@pytest.mark.parametrize('preflight, message', [
    (dict(step=3), 'chain.preflight.step: is unknown'),
    (dict(steps=0), 'chain.preflight.steps: 0 must be an integer, 1 or more'),
    ('off', r'chain.preflight: must be dict\(steps=...\) or False'),
])
def test_its_options(tiny_cfg, preflight, message):
    from mmdgkd import ConfigError
    cfg = tiny_cfg()
    cfg.chain.preflight = preflight
    with pytest.raises(ConfigError, match=message):
        ChainRunner(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('change, message', [
    ('chain.networks.resnet8.model.backbone.type=HalfUsed',
     'find_unused_parameters: for the stage "resnet8": must be on with'),
    ('sync_bn=torch', 'sync_bn: for the stage "resnet20": .* needs GPUs'),
])
def test_by_two_processes(fork_ranks, root, tmp_path, change, message):
    (tmp_path / 'user_code.py').write_text(USER_CODE)
    config = tmp_path / 'chain.py'
    config.write_text(
        f'_base_ = {str(root / DIGITS)!r}\n'
        "custom_imports = dict(imports=['mmdgkd', 'user_code'])\n")
    words = ('tools/train.py', config, '--work-dir', tmp_path / 'work',
             '--dry-run', '--cfg-options', 'chain.networks.resnet14=None',
             'train_dataloader.dataset.indices=64',
             'val_dataloader.dataset.indices=64')
    output = fork_ranks(*words, change, codes=(2, 2))
    assert re.search(f'error: {message}', output), output
    assert not (tmp_path / 'work').exists()
    if 'HalfUsed' in change:
        assert 'rehearsal: 2 stages' in fork_ranks(
            *words, change, 'find_unused_parameters=True')
