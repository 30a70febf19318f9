# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Mistakes of a stage are found before it trains."""
import copy
import random

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.network import build_network
from mmdgkd.chain.preflight import trial_forward
from mmdgkd.chain.preflight.chain_check import inspect_chain
from mmdgkd.chain.preflight.data_check import check_data
from mmdgkd.chain.preflight.stage_check import check_stage
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.backbones.resnet_6n2 import ResNet6n2
from mmdgkd.utils.random import states


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
class HalfUsed(ResNet6n2):
    """Has a layer that it never runs, and one that is not to be trained."""

    def __init__(self, depth, **kwargs):
        super().__init__(depth, **kwargs)
        self.spare = nn.Linear(2, 2)
        self.fixed = nn.Linear(2, 2).requires_grad_(False)


@MODELS.register_module()
class Drawing(ResNet6n2):
    """Draws from all generators, and not only in training."""

    def forward(self, x):
        assert random.random() + np.random.rand() + torch.rand(1) >= 0
        return super().forward(x)


def inspect(cfg):
    return inspect_chain(cfg, Chain.from_cfg(cfg.chain))


def assert_refused(cfg, message):
    with pytest.raises(ConfigError, match=message) as error:
        inspect(cfg)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['resnet20', 'resnet8'])
def test_a_head_whose_loss_would_only_be_logged(tiny_cfg, name):
    cfg = tiny_cfg()
    cfg.chain.networks[name].model.head.type = 'NamelessHead'
    assert_refused(
        cfg, rf'chain.networks.{name}.model.head: its losses \(ce\) have no '
        '"loss" in their names, .*; "loss_ce" would be right')
    # Without a weight it is only logged in any case.
    cfg.model.task_loss_weight = 0.0
    if name == 'resnet8':
        inspect(cfg)


def test_a_stage_that_would_train_nothing(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.model.head.type = 'FrozenHead'
    assert_refused(
        cfg, r'model: for the stage "resnet20": nothing would be trained: '
        r'nothing in its losses \(loss\) with "loss" in the name and')
    cfg = tiny_cfg()
    cfg.chain.logit_store = None
    cfg.model = dict(
        type='mmrazor.DGKD',
        task_loss_weight=0.0,
        distiller=dict(type='mmrazor.MultiTeacherDistiller'))
    assert_refused(
        cfg, r'model: for the stage "resnet14": nothing would be trained: '
        r'nothing in its losses \(student.task\)')


def distributed(tiny_cfg, backbone='HalfUsed', **kwargs):
    cfg = tiny_cfg()
    cfg.launcher = 'pytorch'
    cfg.chain.networks.resnet8.model.backbone.type = backbone
    cfg.update(kwargs)
    return cfg


def test_a_parameter_without_a_gradient(tiny_cfg):
    assert_refused(
        distributed(tiny_cfg),
        'find_unused_parameters: for the stage "resnet8": must be on with '
        'several processes: 2 parameters get no gradient, the first is '
        'architecture.backbone.spare.weight; set find_unused_parameters=True')


@pytest.mark.parametrize('kwargs', [
    dict(find_unused_parameters=True),
    dict(launcher='none'),
    dict(backbone='ResNet6n2'),
    dict(model_wrapper_cfg=dict(find_unused_parameters=True)),
    dict(model_wrapper_cfg=dict(static_graph=True)),
    dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
])
def test_where_that_is_no_mistake(tiny_cfg, kwargs):
    inspect(distributed(tiny_cfg, **kwargs))


def test_it_is_off_where_the_wrapper_is_set_so(tiny_cfg):
    assert_refused(
        distributed(
            tiny_cfg,
            find_unused_parameters=True,
            model_wrapper_cfg=dict(find_unused_parameters=False)),
        'set model_wrapper_cfg.find_unused_parameters=True')


@pytest.mark.parametrize('teacher', ['MultiTeacherOutputs', 'ModuleOutputs'])
def test_a_head_that_no_loss_reads(tiny_cfg, teacher):
    """Distilled from features alone, with no weight on the labels."""
    cfg = distributed(tiny_cfg, 'ResNet6n2')
    cfg.chain.logit_store = None
    cfg.chain.guidance = 'direct'
    cfg.model.task_loss_weight = 0.0
    distiller = cfg.model.distiller
    distiller.student_recorders.logits.source = 'neck.gap'
    front = '' if teacher == 'MultiTeacherOutputs' else 'resnet20.'
    distiller.teacher_recorders.logits = dict(
        type=f'mmrazor.{teacher}', source=f'{front}neck.gap')
    if front:
        distiller.distill_losses.loss_kd = dict(type='mmrazor.L2Loss')
        distiller.loss_forward_mappings.loss_kd = dict(
            s_feature=dict(recorder='logits', from_student=True),
            t_feature=dict(recorder='logits', from_student=False))
    assert_refused(
        cfg, '"resnet14": must be on .*: 2 parameters get no gradient, the '
        'first is architecture.head.fc.weight')
    cfg.model.task_loss_weight = 0.5
    inspect(cfg)


@pytest.mark.parametrize('batched', [False, True])
def test_with_dropped_teachers_and_batched_data(tiny_cfg, batched):
    cfg = tiny_cfg(
        config='configs/dgkd/resnet20_to_resnet8_digits_stochastic.py')
    cfg.launcher = 'pytorch'
    cfg.chain.networks.resnet8.model.backbone.type = 'HalfUsed'
    if batched:
        for key in ('train_dataloader', 'val_dataloader'):
            cfg[key].dataset.type = 'BatchedDigits'
            cfg[key].collate_fn = dict(type='pseudo_collate')
        cfg.data_preprocessor.type = 'BatchedDataPreprocessor'
    assert_refused(cfg, 'the first is architecture.backbone.spare.weight')


def test_what_does_not_run_without_values_is_not_looked_at(
        tiny_cfg, monkeypatch):
    monkeypatch.setattr(
        NamelessHead, 'loss', lambda self, feats, *_:
        (dict(ce=feats[-1].sum()) if feats[-1].sum().item() else {}))
    cfg = tiny_cfg()
    cfg.chain.networks.resnet8.model.head.type = 'NamelessHead'
    inspect(cfg)


def test_what_trains_by_itself_is_not_looked_at(tiny_cfg, monkeypatch):
    cfg = distributed(tiny_cfg)
    monkeypatch.setattr(DGKD, 'train_step', lambda *_: {}, raising=False)
    inspect(cfg)


def test_it_leaves_everything_as_it_was(tiny_cfg):
    cfg = tiny_cfg()
    for network in cfg.chain.networks.values():
        network.model.backbone.type = 'Drawing'
    chain = Chain.from_cfg(cfg.chain)
    stage = stage_config(cfg, chain, 'resnet8', {}, '')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        seen = check_data(stage, {})
        models = {
            network.name: build_network(network, 'mmpretrain')
            for network in chain.networks
        }
        algorithm = check_stage('resnet8', stage, chain, models)
    algorithm.student.head.train()
    networks = dict(algorithm.teachers, resnet8=algorithm.student)
    ran = []
    for name, network in networks.items():
        network.backbone.register_forward_hook(
            lambda *_, name=name: ran.append(name))
    modules = [
        module for model in (algorithm, *algorithm.teachers.values())
        for module in model.modules()
    ]
    before = states()
    teachers, modes = algorithm._teachers, [m.training for m in modules]
    outputs = {}
    trial_forward.check_losses('resnet8', stage, algorithm, seen, outputs)
    assert ran == ['resnet14', 'resnet20', 'resnet8']
    assert states() == before
    assert algorithm._teachers is teachers
    assert [module.training for module in modules] == modes
    # Later stages do so with their teachers, recorders and all.
    copy.deepcopy(algorithm.student)
    # The outputs of the teachers are cached now.
    trial_forward.check_losses('resnet8', stage, algorithm, seen, outputs)
    assert ran[3:] == ['resnet8']
