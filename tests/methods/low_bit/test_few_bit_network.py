# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.methods.low_bit.quantizers.act_quantizer import ActQuantizer
from mmdgkd.methods.low_bit.quantizers.fixed_rounding import FixedRounding
from mmdgkd.methods.low_bit.quantizers.integers import (integer_network,
                                                        integer_tensors,
                                                        packed_bytes)
from mmdgkd.methods.low_bit.quantizers.weight_quantizer import WeightQuantizer

NETWORK = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet6n2', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64))
IMAGES = (4, 3, 8, 8)


def build(**settings):
    torch.manual_seed(0)
    cfg = dict(
        type='mmrazor.FewBitNetwork', architecture=dict(NETWORK), **settings)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def levels_of(weight):
    return len(weight.unique())


def trained(model):
    """After a forward in training, from which its steps begin."""
    torch.manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(IMAGES))
    return model.eval()


@pytest.mark.parametrize('step', ['learned', 'optimal'])
def test_all_weights_but_those_of_the_ends_are_ternary(step):
    model = trained(build(step=step))
    weights = model.quantized_weights()
    assert len(weights) == 10
    counts = {name: levels_of(data) for name, data in weights.items()}
    assert counts.pop('backbone.conv1.weight') > 100
    assert counts.pop('head.fc.weight') > 100
    assert set(counts.values()) == {3}
    # What learns are the float ones.
    assert levels_of(model.architecture.backbone.layer1[0].conv1.weight) > 2000


def test_gradients_come_to_the_weights_and_to_learned_steps():
    model = build(act_bits=2).train()
    model(torch.randn(IMAGES)).square().sum().backward()
    missing = [
        name for name, param in model.named_parameters() if param.grad is None
    ]
    assert not missing
    steps = [
        param.grad for name, param in model.named_parameters()
        if name.endswith('step')
    ]
    # 10 layers, of which the first is given images.
    assert len(steps) == 19 and all(grad.any() for grad in steps)


def test_activations_are_low_bit_and_recorders_find_every_module():
    model = build(act_bits=2)
    seen = {}
    block = model.architecture.backbone.layer3[0]
    for name, module in dict(
            images=model.architecture.backbone.conv1,
            block=block,
            conv=block.conv2,
            fc=model.architecture.head.fc).items():
        module.register_forward_hook(lambda module, inputs, outputs, name=name:
                                     seen.update({name: inputs[0]}))
    model.train()(torch.randn(IMAGES))
    assert levels_of(seen['conv']) == 4 and seen['conv'].min() == 0
    assert levels_of(seen['images']) > 700 and levels_of(seen['block']) > 200
    # The last layer has 8 bits.
    assert levels_of(seen['fc']) > 50


def test_ends_can_stay_float_or_be_like_the_others():
    float_ends = trained(build(first_last_bits=None, act_bits=4))
    assert len(float_ends.quantized_weights()) == 8
    assert 'head-fc' not in float_ends.quantizers
    every = trained(build(first_last_bits=2))
    assert {levels_of(data)
            for data in every.quantized_weights().values()} == {3}


def test_by_channel_there_is_a_step_for_each():
    model = trained(build(per_channel=True))
    quantizer = model.quantizers['backbone-layer1-0-conv1'].weight
    assert quantizer.step.shape == (16, 1, 1, 1)
    data = model.quantized_weights()['backbone.layer1.0.conv1.weight']
    assert all(levels_of(channel) == 3 for channel in data)


@pytest.mark.parametrize('settings', [
    dict(act_bits=2),
    dict(act_bits=4, step='optimal', per_channel=True, weight_bits=3),
    dict(first_last_bits=None)
])
def test_fixed_and_integer_weights_give_the_same_logits(settings):
    model = trained(build(**settings))
    images = torch.randn(IMAGES)
    with torch.no_grad():
        wanted = model(images)
        assert torch.equal(model.fixed_network()(images), wanted)
        tensors = integer_tensors(model)
        numbers = integer_network(model.plain_network(), tensors)
        found = numbers(images)
    assert torch.allclose(found, wanted, atol=1e-4 * wanted.abs().max())
    conv = numbers.backbone.layer2[0].conv1
    assert torch.equal(conv.weight, conv.weight.round())
    high = 2**(settings.get('weight_bits', 2) - 1) - 1
    assert conv.weight.abs().max() == high
    # The float network and its hooks are as before.
    with torch.no_grad():
        assert torch.equal(model(images), wanted)
    with pytest.raises(ConfigError, match='not those of the network'):
        integer_network(model.plain_network(), {
            key: data
            for key, data in tensors.items() if 'running' not in key
        })


def test_sizes_by_hand():
    """9 weights of 2 bits are 3 bytes; the rest is as it is."""
    tensors = {
        'a.weight': torch.zeros(3, 3, dtype=torch.int8),
        'a.weight_step': torch.zeros(()),
        'a.weight_bits': torch.tensor(2, dtype=torch.int8),
        'b.weight': torch.zeros(5),
    }
    assert packed_bytes(tensors) == (3, 4 + 1 + 20)


def test_the_first_batch_sets_steps_and_signs_once():
    for learned in (True, False):
        quantizer = ActQuantizer(2, learned)
        x = torch.tensor([[-3., 0., 1., 3.]])
        assert torch.equal(quantizer.eval()(x), x)
        quantizer.train()(x)
        assert quantizer.signed and quantizer.levels() == (3., -1, 1)
        quantizer(x / 3)
        # Learned by gradients alone, or a tenth of the way to 1.
        assert quantizer.step.item() == pytest.approx(3 if learned else 2.8)
        again = copy.deepcopy(quantizer)
        again.load_state_dict(quantizer.state_dict())
        assert again.levels() == quantizer.levels()


def test_other_bits_have_the_same_range():
    quantizer = ActQuantizer(2)
    quantizer.train()(torch.tensor([[0., 1., 2., 3.]]))
    assert quantizer.levels() == (1., 0, 3)
    quantizer.bits_now = 8
    step, low, high = quantizer.levels()
    assert (low, high) == (0, 255) and step * high == pytest.approx(3)


def test_a_file_brings_its_steps_along():
    """Also where the quantizers have not begun."""
    model = trained(build(act_bits=2))
    with torch.no_grad():
        model.quantizers['backbone-layer1-0-conv1'].weight.step.mul_(2)
    other = build(act_bits=2).eval()
    images = torch.randn(IMAGES)
    other(images)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(other(images), model(images))


def test_before_training_the_weights_have_optimal_steps():
    weight = torch.tensor([[4., -1., -3.]])
    quantizer = WeightQuantizer(2, weight.shape).eval()
    assert quantizer(weight).tolist() == [[3.5, 0, -3.5]]
    assert not quantizer.begun


@pytest.mark.parametrize('settings, message', [
    (dict(weight_bits=1),
     'model.weight_bits: 1 should be an integer from 2 to 8'),
    (dict(weight_bits=None), 'model.weight_bits: None should be'),
    (dict(act_bits=9), 'model.act_bits: 9 should be'),
    (dict(first_last_bits='8'), "model.first_last_bits: '8' should be"),
    (dict(step='lsq'), "model.step: 'lsq' is none of learned, optimal"),
])
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_an_algorithm_is_no_network():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with pytest.raises(ConfigError, match='FewBitNetwork is an algorithm'):
            MODELS.build(
                dict(type='mmrazor.FewBitNetwork', architecture=build()))


def test_the_first_batch_is_looked_at_in_all_columns():
    """The border of a map, which is padded, is not what it is made of."""
    quantizer = ActQuantizer(2).train()
    x = torch.ones(128, 16, 32, 32)
    x[..., 0] = 0
    quantizer(x)
    assert quantizer.levels()[0] == pytest.approx(1 / 3, rel=0.05)


def test_a_bad_first_batch_begins_nothing():
    quantizer = ActQuantizer(2).train()
    quantizer(torch.full((4, 3), torch.nan))
    assert quantizer.levels() is None and quantizer.step == 1
    before = {
        key: data.clone()
        for key, data in quantizer.state_dict().items()
    }
    quantizer(torch.ones(4, 3))
    assert quantizer.levels() is not None
    # As a step that turns out to be bad is taken back.
    quantizer.load_state_dict(before)
    assert quantizer.levels() is None
    quantizer(torch.ones(4, 3))
    quantizer.settle()
    assert quantizer.levels() is not None


def test_rounding_in_half_precision_has_the_same_levels():
    rounding = FixedRounding(0.013, 0, 255)
    x = torch.rand(1000).bfloat16() * 3
    levels = FixedRounding(0.013, 0, 255, to_levels=True)(x.float())
    assert torch.equal(rounding(x), (levels * 0.013).bfloat16())
