# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import ResNet
from mmpretrain.registry import MODELS
from torch import nn

from mmdgkd.chain.network import network_facts
from mmdgkd.models.backbones.plain_cnn import PlainCNN
from mmdgkd.models.backbones.resnet_6n2 import ResNet6n2
from mmdgkd.models.backbones.small_vgg import SmallVGG
from mmdgkd.models.backbones.wide_resnet import WideResNet


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


# As the table of arXiv 1910.10699 and its code have them.
@pytest.mark.parametrize('backbone, params', [
    (WideResNet(40, 2), 2255156),
    (WideResNet(40, 1), 569780),
    (WideResNet(16, 2), 703284),
    (SmallVGG(13), 9462180),
    (SmallVGG(8), 3965028),
])
def test_wide_resnets_and_vggs_have_the_papers_size(backbone, params):
    head = 100 * (backbone.feat_dim + 1)
    assert sum(p.numel() for p in backbone.parameters()) + head == params
    size = 8 if isinstance(backbone, WideResNet) else 4
    assert backbone(torch.zeros(1, 3, 32,
                                32))[0].shape == (1, backbone.feat_dim, size,
                                                  size)


def test_wide_resnet_is_initialized_and_pre_activated():
    model = WideResNet(16, 2, dropout=.5)
    model.init_weights()
    weight = model.layer3[1].conv1.weight
    assert abs(weight.std() / (2 / (9 * 128))**0.5 - 1) < 0.02
    # Nothing changes what goes along the shortcut of a block as it is.
    block = model.layer3[1].eval()
    with torch.no_grad():
        block.conv2.weight.zero_()
        x = torch.randn(2, 128, 8, 8)
        assert torch.equal(block(x), x)
    # Dropout is active in training alone.
    images = torch.randn(2, 3, 32, 32)
    model.train()
    assert not torch.equal(model(images)[0], model(images)[0])
    model.eval()
    assert torch.equal(model(images)[0], model(images)[0])


def test_a_folded_wide_resnet_has_the_same_outputs():
    model = WideResNet(16, 2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, .5, 1.5)
            nn.init.uniform_(module.running_mean, -.5, .5)
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = model(images)[0]
        after = fuse_conv_bn(model)(images)[0]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_vgg_for_larger_images():
    assert SmallVGG(
        8, input_size=64)(torch.zeros(1, 3, 64, 64))[0].shape == (1, 512, 4, 4)


@pytest.mark.parametrize('make, message', [
    (lambda: WideResNet(18, 2), 'WideResNet.depth: 18 should be 6n'),
    (lambda: WideResNet(16, 0), 'WideResNet.widen_factor: 0 should be'),
    (lambda: SmallVGG(9), 'SmallVGG.depth: there are 8, 11, 13, 16, 19, not'),
    (lambda: SmallVGG(8, input_size=28), 'SmallVGG.input_size: 28 should be'),
    (lambda: SmallVGG(8, pool_size=(1, )),
     r'SmallVGG.pool_size: \(1,\) should'),
    (lambda: SmallVGG(8, pool_size=0), 'SmallVGG.pool_size: 0 should be'),
])
def test_other_wide_resnets_and_vggs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
