# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Teachers of any kinds in one ``DenseKDLoss``, with the store."""
import os.path as osp

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.models import TimmClassifier
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.chain.training_settings import fingerprint


@MODELS.register_module(force=True)
class TimmKind(TimmClassifier):
    """MMPretrain's wrapper, of a model that needs no timm."""

    def __init__(self, data_preprocessor=None):
        BaseClassifier.__init__(self, data_preprocessor=data_preprocessor)
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 3 * 3, 10))
        self.loss_module = nn.CrossEntropyLoss()


DEIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='DistilledVisionTransformer',
        img_size=8,
        patch_size=4,
        arch=dict(
            embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)),
    head=dict(type='DeiTClsHead', num_classes=10, in_channels=8))
MOBILENET = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV3', arch='small'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='StackedLinearClsHead',
        num_classes=10,
        in_channels=576,
        mid_channels=[16]))


@pytest.fixture
def make(tiny_cfg):
    """A function that gives a chain of four kinds of networks."""

    def make(work_dir='work', store=None):
        cfg = tiny_cfg(work_dir=work_dir)
        networks = cfg.chain.networks
        cfg.chain.networks = dict(
            timm=dict(model=dict(type='TimmKind')),
            deit=dict(model=DEIT),
            resnet=dict(model=networks.resnet8.model),
            mobilenet=dict(model=MOBILENET))
        cfg.chain.order = None
        cfg.chain.logit_store = store
        return cfg

    return make


@pytest.mark.filterwarnings('ignore:MMPretrain cannot train')
def test_cached_equals_live(make):
    """The shipped distiller names no module; all weights have equal bits."""
    live, cached = make('live'), make('cached', dict(dtype='float32'))
    live.chain.views = cached.chain.views = dict(num_views=1)
    live.train_cfg.max_epochs = cached.train_cfg.max_epochs = 2
    ChainRunner(live).train()
    for name in ('timm', 'deit', 'resnet'):
        cached.chain.networks[name].ckpt_path = osp.join(
            live.work_dir, name, f'{name}.pth')
    ChainRunner(cached).train()
    counts = ChainRunner(cached).work.ledger['mobilenet']['store']
    for name in ('timm', 'deit', 'resnet'):
        assert counts[name]['recalled'] == counts[name]['computed'] == 64
    first, second = (
        torch.load(
            osp.join(cfg.work_dir, 'mobilenet', 'mobilenet.pth'),
            weights_only=True)['state_dict'] for cfg in (live, cached))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_loss_and_gradient_are_those_of_hand_written_code(make):
    cfg = make()
    cfg.model.update(task_loss_weight=0.1, teacher_options=None)
    cfg.model.distiller.distill_losses.loss_kd.update(
        form='averaged', tau=4.0, reduction='batchmean', loss_weight=0.9)
    chain = Chain.from_cfg(cfg.chain.to_dict())
    stage = stage_config(cfg, chain, 'mobilenet', {}, '')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(stage.model)
    images = torch.randn(8, 3, 8, 8)
    labels = torch.arange(8)
    samples = [DataSample().set_gt_label(label) for label in labels]
    model.train()
    losses = model(images, samples, mode='loss')
    total = losses['student.loss'] + losses['distill.loss_kd']
    network = model.student
    mine = torch.autograd.grad(total, [*network.parameters()])

    logits = network(images, mode='tensor')
    with torch.no_grad():
        of = model.teachers
        tokens = of['deit'].backbone(images)[-1]
        layers = of['deit'].head.layers
        taught = [
            of['timm'].model(images),
            (layers.head(tokens[0]) + layers.head_dist(tokens[1])) / 2,
            of['resnet'].head.fc(of['resnet'].extract_feat(images)[-1])
        ]
    kd = sum(16 * F.kl_div(
        F.log_softmax(logits / 4, 1),
        F.softmax(one / 4, 1),
        reduction='batchmean') for one in taught) / 3
    wanted = 0.1 * F.cross_entropy(logits, labels) + 0.9 * kd
    assert abs(wanted - total) < 1e-6
    theirs = torch.autograd.grad(wanted, [*network.parameters()])
    for ours, other in zip(mine, theirs):
        assert (ours - other).abs().max() < 1e-6


def test_sources_by_network(make):
    """Of each stage those of its networks; mistakes have their place."""
    cfg = make()
    distiller = cfg.model.distiller
    distiller.student_recorders.logits.source = dict(
        mobilenet='head.layers.1', resnet='head.fc')
    distiller.teacher_recorders.logits.source = dict(
        timm='model.3', default='logits', resnet='head.fc')

    def sources(name):
        chain = Chain.from_cfg(cfg.chain.to_dict())
        found = stage_config(cfg, chain, name, {}, '').model.distiller
        return (found.student_recorders.logits.source,
                found.teacher_recorders.logits.source)

    assert sources('deit') == ('logits',
                               dict(timm='model.3', default='logits'))
    assert sources('resnet')[0] == 'head.fc'
    assert sources('mobilenet') == ('head.layers.1',
                                    dict(
                                        timm='model.3',
                                        default='logits',
                                        resnet='head.fc'))
    here = 'model.distiller.teacher_recorders.logits.source'
    distiller.teacher_recorders.logits.source = dict(tim='model')
    with pytest.raises(
            ConfigError,
            match=f'{here}.tim: there is no such network; there are timm, '
            'deit, resnet, mobilenet, and "default" .*is timm meant'):
        sources('deit')
    distiller.teacher_recorders.logits.source = dict(timm=3)
    with pytest.raises(ConfigError, match=f'{here}.timm: 3 must be the name'):
        sources('deit')


def test_a_wrong_source_says_which_are_right_and_where(make, refused):
    cfg = make()
    cfg.model.distiller.teacher_recorders.logits.source = dict(timm='head')
    refused(
        cfg, r'^model.distiller.teacher_recorders.logits.source.timm: "head" '
        r'is no module of teacher "timm"; its parts: .*; those with its 10 '
        r"class scores: model, model.3; source='logits' finds them")
    cfg = make()
    logits = dict(type='mmrazor.ModuleOutputs', source='head.fc')
    cfg.model.distiller = dict(
        type='mmrazor.MultiTeacherDistiller',
        edges=dict(default=dict(teacher_recorders=dict(logits=logits))))
    refused(
        cfg, '^model.distiller.edges.default.teacher_recorders.logits.source: '
        '"timm.head.fc" is no module of teacher "timm"; .*: timm.model, '
        "timm.model.3; source='timm.logits' finds them")


def test_a_work_dir_of_named_logits_goes_on(tiny_cfg):
    """Of linear heads the logits are those of head.fc; of others not."""
    cfg = tiny_cfg()

    def print_of(source):
        distiller = cfg.model.distiller
        distiller.student_recorders.logits.source = source
        distiller.teacher_recorders.logits.source = source
        chain = Chain.from_cfg(cfg.chain.to_dict())
        return fingerprint(stage_config(cfg, chain, 'resnet8', {}, ''))

    assert print_of('logits') == print_of('head.fc') != print_of('head')
    cfg.chain.networks.resnet20.model = MOBILENET
    assert print_of('logits') != print_of('head.fc')
