# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Filters of one row, their inputs, and images row after row."""
import pytest
import torch
from mmcv.cnn import build_conv_layer
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.methods.row_conv.peak_bytes import peak_bytes
from mmdgkd.methods.row_conv.row_conv import row_conv
from mmdgkd.methods.row_conv.row_stream import RowStream
from mmdgkd.methods.row_conv.rows_seen import check_single_rows, rows_seen

ROW = dict(type='mmrazor.RowConv')
EVERY_SECOND = dict(ROW, keep_rows=False)
BACKBONES = dict(
    resnet=dict(type='ResNet6n2', depth=8),
    wrn=dict(type='WideResNet', depth=10, widen_factor=1),
    vgg=dict(type='SmallVGG', depth=8))
# The map of a row network has all rows of the image, or those of the NxN's.
ROWS = dict(
    resnet=dict(BACKBONES['resnet'], conv_cfg=ROW),
    resnet_2nd=dict(BACKBONES['resnet'], conv_cfg=EVERY_SECOND),
    wrn=dict(BACKBONES['wrn'], conv_cfg=ROW),
    wrn_2nd=dict(BACKBONES['wrn'], conv_cfg=EVERY_SECOND),
    vgg=dict(BACKBONES['vgg'], conv_cfg=ROW, pool_size=[1, 2]))


def classifier(backbone, neck=dict(type='GlobalAveragePooling'), classes=7):
    """With batch normalization that has statistics."""
    channels = dict(SmallVGG=512).get(backbone['type'], 64)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=backbone,
                neck=neck,
                head=dict(
                    type='LinearClsHead',
                    num_classes=classes,
                    in_channels=channels)))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, .5, 1.5)
            nn.init.uniform_(module.running_mean, -.5, .5)
            nn.init.uniform_(module.running_var, .5, 1.5)
    model.eval()
    return model


@pytest.mark.parametrize('keep_rows, stride', [(True, (1, 2)),
                                               (False, (2, 2))])
def test_an_nxn_convolution_becomes_1xn(keep_rows, stride):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        conv = build_conv_layer(
            dict(ROW, keep_rows=keep_rows),
            4,
            6,
            5,
            stride=2,
            padding=4,
            dilation=2,
            bias=False)
    assert type(conv) is nn.Conv2d
    assert conv.weight.shape == (6, 4, 1, 5) and conv.bias is None
    assert conv.stride == stride
    assert (conv.padding, conv.dilation) == ((0, 4), (1, 2))


def test_sizes_of_two_numbers_count_along_the_row():
    conv = row_conv(1, 1, (3, 5), stride=(1, 2), padding=(1, 2))
    assert conv.kernel_size == (1, 5)
    assert (conv.stride, conv.padding) == ((1, 2), (0, 2))


@pytest.mark.parametrize('name', BACKBONES)
def test_it_is_as_deep_with_a_third_of_the_weights(name):
    square, row = classifier(BACKBONES[name]), classifier(ROWS[name])

    def weights(model):
        return [
            m.weight for m in model.backbone.modules()
            if isinstance(m, nn.Conv2d)
        ]

    assert len(weights(square)) == len(weights(row))
    for one, other in zip(weights(square), weights(row)):
        assert one.shape[:2] == other.shape[:2]
        assert other.shape[2:] == (1, one.shape[3])


@pytest.mark.parametrize('name', ['resnet', 'wrn'])
def test_the_initialization_counts_the_weights_that_there_are(name):
    model = classifier(ROWS[name])
    model.init_weights()
    weight = model.backbone.layer3[0].conv2.weight
    # He, fan out: 1 x 3 weights of 64 channels.
    assert weight.std().item() == pytest.approx((2 / (3 * 64))**.5, rel=.03)


def test_what_a_3x3_convolution_and_a_pooling_see():
    network = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(1, 1, (1, 3), padding=(0, 1)))
    # Not by the weights of the moment.
    nn.init.zeros_(network[2].weight)
    seen = rows_seen(network, (1, 6, 4))
    assert list(seen) == ['0', '1', '2', '']

    def rows(name):
        return [row.nonzero().flatten().tolist() for row in seen[name]]

    assert rows('0') == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5],
                         [4, 5]]
    assert rows('1') == rows('2') == rows('') == [[0, 1, 2], [1, 2, 3, 4],
                                                  [3, 4, 5]]


@pytest.mark.parametrize('name', ROWS)
def test_each_row_of_each_map_sees_one_row(name):
    network = classifier(ROWS[name]).backbone
    network.train()
    seen = rows_seen(network, (3, 16, 16))
    check_single_rows(seen)
    assert network.training
    assert len(seen) > 8
    assert all((mask.sum(1) == 1).all() for mask in seen.values())
    rows = torch.arange(16)[::4 if name.endswith('2nd') else 1]
    assert torch.equal(seen[''].nonzero()[:, 1], rows)


@pytest.mark.parametrize('backbone, message', [
    (BACKBONES['resnet'],
     'backbone.conv1: row 1 of its output depends on 3 rows of the image'),
    (dict(BACKBONES['wrn'], conv_cfg=dict(type='Conv2d')),
     'backbone.stem.0: row 1 of its output depends on 3 rows'),
    (dict(BACKBONES['vgg'], conv_cfg=ROW),
     'backbone.features.1: row 0 of its output depends on 2 rows of the image;'
     r' each may depend on one, as with .*pool_size=\(1, 2\)'),
])
def test_the_first_that_sees_more_is_named(backbone, message):
    with pytest.raises(ConfigError, match=message):
        RowStream(classifier(backbone), (3, 16, 16))


class CallsTwice(nn.Module):
    """An activation of a wider receptive field, and then of the image."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()

    def forward(self, x):
        self.act(self.conv(x))
        return self.act(x)


def test_of_a_module_that_is_called_twice_both_calls_count():
    seen = rows_seen(CallsTwice(), (1, 4, 4))
    assert seen['act'].sum(1).tolist() == [2, 3, 3, 2]
    assert seen[''].sum(1).tolist() == [1, 1, 1, 1]


class MixesImages(nn.Module):

    def forward(self, x):
        return x - x.mean(0)


def test_what_mixes_the_images_of_a_batch_is_refused():
    network = nn.Sequential(nn.Conv2d(1, 1, (1, 1)), MixesImages())
    with pytest.raises(ConfigError, match='^1: .*mixes the images of a batch'):
        rows_seen(network, (1, 4, 4))


@pytest.mark.parametrize('fold_bn', [False, True])
@pytest.mark.parametrize('name', ROWS)
def test_row_after_row_the_logits_are_the_same(name, fold_bn):
    model = classifier(ROWS[name])
    stream = RowStream(model, (3, 16, 16), fold_bn)
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        wanted = model(images)
    assert wanted.std() > .01
    torch.testing.assert_close(stream(images), wanted, rtol=0, atol=2e-6)
    # The next images begin anew, in a batch of another size.
    torch.testing.assert_close(
        stream(images[:1]), wanted[:1], rtol=0, atol=2e-6)
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_folding_in_another_order_than_that_of_the_calls_is_refused():
    model = classifier(ROWS['resnet'])
    parts = model.backbone.layer1[0]._modules
    order = ('conv1', 'bn2', 'conv2', 'bn1')
    listed = {name: parts[name] for name in (*order, *parts)}
    parts.clear()
    parts.update(listed)
    assert RowStream(model, (3, 16, 16)) is not None
    with pytest.raises(ConfigError, match='computed alone differs'):
        RowStream(model, (3, 16, 16), fold_bn=True)


def test_each_row_is_run_when_it_arrives_and_only_if_it_is_looked_at():
    stream = RowStream(classifier(ROWS['resnet_2nd']), (3, 8, 16))
    heights = []
    stream.network.backbone.conv1.register_forward_hook(
        lambda module, inputs, output: heights.append(len(output[0, 0])))
    for row in range(8):
        stream.push(torch.zeros(1, 3, 16))
        assert heights == [1] * (row // 4 + 1)


def test_rows_that_are_missing_or_too_many():
    stream = RowStream(classifier(ROWS['resnet']), (3, 8, 8))
    for _ in range(7):
        stream.push(torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match='7 of 8 rows have arrived'):
        stream.logits()
    stream.push(torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match='all 8 rows have arrived; reset()'):
        stream.push(torch.zeros(1, 3, 8))
    assert stream.logits().shape == (1, 7)


class KnowsWhere(nn.Module):
    """Adds to each row its number."""

    def forward(self, x):
        return (x + torch.arange(x.shape[2]).view(-1, 1), )


def test_other_networks_are_refused():
    model = classifier(ROWS['resnet'], neck=None)
    with pytest.raises(ConfigError, match='model: ImageClassifier: .*neck='):
        RowStream(model, (3, 8, 8))
    model = classifier(ROWS['resnet'])
    with pytest.raises(ConfigError, match='model: ResNet6n2: .*Classifier'):
        RowStream(model.backbone, (3, 8, 8))
    model.backbone = KnowsWhere()
    with pytest.raises(
            ConfigError,
            match='model.backbone: KnowsWhere: a row '
            'computed alone differs'):
        RowStream(model, (64, 8, 8))


def test_what_is_alive_at_once_is_counted():

    def function(x):
        view = x.view(-1)  # nothing new
        one = view + 1  # 400
        two = one + 1  # 800
        del one  # 400
        return two.sum()  # 404

    assert peak_bytes(function, torch.zeros(10, 10)) == 800


def test_a_row_takes_a_part_of_the_memory_of_an_image():
    model, image = classifier(ROWS['resnet']), torch.randn(1, 3, 16, 16)
    stream = RowStream(model, (3, 16, 16))
    peak = peak_bytes(model, image)
    # Of layer1: what goes into a block, and two maps of 16 channels.
    assert peak >= 3 * 16 * 16 * 16 * 4
    assert peak_bytes(stream, image) < peak / 12
