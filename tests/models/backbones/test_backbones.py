# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import ResNet
from mmpretrain.registry import MODELS
from torch import nn

from mmdgkd.engine.inspection import network_facts
from mmdgkd.models import PlainCNN, ResNet6n2


def classifier(classes, in_channels, **backbone):
    cfg = dict(
        type='ImageClassifier',
        backbone=backbone,
        head=dict(
            type='LinearClsHead', num_classes=classes,
            in_channels=in_channels))
    if backbone['type'] == 'ResNet6n2':
        cfg['neck'] = dict(type='GlobalAveragePooling')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


# Parameters in millions and MACs in millions: papers' figures, CIFAR-100.
@pytest.mark.parametrize('depth, params, macs', [
    (8, .084, 12.5),
    (14, .181, 26.7),
    (20, .278, 40.8),
    (32, .473, 69.1),
    (56, .862, 125.8),
    (110, 1.737, 253.2),
])  # yapf: disable
def test_resnets_have_the_papers_size(depth, params, macs):
    model = classifier(100, 64, type='ResNet6n2', depth=depth)
    facts = network_facts(model.to('meta').eval(), 'x', (3, 32, 32))
    assert round(facts.params / 1e6, 3) == params
    assert abs(facts.macs / 1e6 - macs) < 0.1 + 0.002 * macs
    assert facts.classes == 100


def test_resnet_1202_builds():
    # Table 6 of arXiv 1512.03385, CIFAR-10: 19.4 M parameters.
    model = classifier(10, 64, type='ResNet6n2', depth=1202)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 19.4


def test_resnet_is_mmpretrains_and_initialized_as_in_the_papers():
    model = ResNet6n2(20)
    assert isinstance(model, ResNet)
    model.init_weights()
    weight = model.layer3[1].conv1.weight
    assert abs(weight.std() / (2 / (9 * 64))**0.5 - 1) < 0.02
    # zero_init_residual is off.
    assert all((m.weight == 1).all() for m in model.modules()
               if isinstance(m, nn.BatchNorm2d))
    assert model(torch.zeros(1, 3, 32, 32))[0].shape == (1, 64, 8, 8)


def test_other_depths_are_refused():
    with pytest.raises(KeyError, match='invalid depth 9'):
        ResNet6n2(9)


@pytest.mark.parametrize('depth, params', [
    (2, 215172),
    (3, 438596),
    (4, 475652),
    (5, 959364),
    (6, 1107204),
    (7, 655684),
    (8, 1246276),
    (9, 2340868),
    (10, 2931460),
])
def test_plain_cnns_have_the_papers_size(depth, params):
    features = PlainCNN(depth).feat_dim
    model = classifier(100, features, type='PlainCNN', depth=depth)
    assert sum(p.numel() for p in model.parameters()) == params
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == depth
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


@pytest.mark.parametrize('depth, features', [(2, 1024), (4, 2048), (6, 1024),
                                             (8, 64), (10, 128)])
def test_plain_cnns_for_cifar10(depth, features):
    model = PlainCNN(depth, 'cifar10')
    assert model.feat_dim == features
    assert model(torch.zeros(2, 3, 32, 32))[0].shape == (2, features)


def test_unknown_plain_cnns_are_refused():
    with pytest.raises(ValueError, match='for cifar10 there are 2, 4, 6'):
        PlainCNN(3, 'cifar10')
    with pytest.raises(ValueError, match="'imagenet' is none of"):
        PlainCNN(2, 'imagenet')
