# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain with weights and activations of few levels."""
import os

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.torch_export import export_chain
from mmdgkd.methods.low_bit.quantizers.integers import integer_network
from mmdgkd.methods.low_bit.quantizers.weight_quantizer import WeightQuantizer

NAME = 'resnet8_w2'


@pytest.fixture
def few_bit_cfg(tiny_cfg, root):
    """A function that gives a ResNet-8, one of few bits and a guided one."""

    def make(epochs=1, last=False, act_bits=2, **kwargs):
        cfg = tiny_cfg(
            epochs, root / 'configs/fewbit/w2_resnet20_to_resnet8_digits.py',
            **kwargs)
        cfg.chain.networks.resnet20 = cfg.chain.networks.resnet14 = None
        cfg.chain.networks[NAME].model.act_bits = act_bits
        if last:
            cfg.chain.networks.last = dict(
                model=cfg.chain.networks.resnet8.model)
        return cfg

    return make


def test_it_is_trained_tested_exported_and_a_guide(few_bit_cfg, teacher_as_run,
                                                   built_from_file,
                                                   monkeypatch):
    cfg = few_bit_cfg(2, last=True)
    runner = ChainRunner(cfg)
    ledger = runner.train()
    entry = ledger[NAME]
    assert entry['guides'] == ['resnet8']
    assert entry['params'] == ledger['resnet8']['params']
    assert ledger['last']['guides'] == ['resnet8', NAME]
    assert any(
        name.startswith(f'{NAME}-')
        for name in os.listdir(f'{cfg.work_dir}/logits'))
    tested = runner.test(NAME)[NAME]
    assert tested['accuracy/top1'] == pytest.approx(entry['metric']['last'])

    model = built_from_file(cfg, NAME)
    assert all(parts.weight.begun for parts in model.quantizers.values())
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
        wanted = model(inputs)
        # Its batch normalization is folded there, and nowhere else.
        teacher = teacher_as_run(cfg, 'last', NAME)
        off = (teacher(inputs, mode='tensor') - wanted).abs()
    assert off.max() < .05 * wanted.abs().max()

    ((path, facts), ) = export_chain(cfg, runner.chain, NAME).items()
    assert facts.macs == entry['macs']
    off = (torch.export.load(path).module()(images) - wanted).abs()
    assert off.max() < .05 * wanted.abs().max()
    found = facts.integers
    assert found.weights == 77360 and found.size < facts.size / 2
    # The 432 of the first and the 640 of the last layer have 8 bits.
    assert found.packed == (77360 - 1072) // 4 + 1072
    tensors = torch.load(found.path, weights_only=True)['state_dict']
    conv = tensors['backbone.layer1.0.conv1.weight']
    assert conv.dtype == torch.int8 and conv.unique().tolist() == [-1, 0, 1]
    numbers = integer_network(model.plain_network(), tensors)
    with torch.no_grad():
        assert (numbers(inputs) -
                wanted).abs().max() < .05 * wanted.abs().max()

    # A level that is one off is no rounding.
    before = WeightQuantizer.levels_of
    monkeypatch.setattr(WeightQuantizer, 'levels_of',
                        lambda self, weight: before(self, weight) + 1)
    with pytest.raises(ConfigError, match='integers give other logits'):
        export_chain(cfg, runner.chain, NAME)


@pytest.mark.parametrize('step, act_bits', [
    ('learned', 2),
    pytest.param('optimal', 4, marks=pytest.mark.slow),
])
def test_resumed_it_ends_with_the_same_bits(few_bit_cfg, killed_and_whole,
                                            step, act_bits):
    whole, torn = (
        few_bit_cfg(2, work_dir=name, act_bits=act_bits)
        for name in ('whole', 'torn'))
    for cfg in (whole, torn):
        cfg.chain.networks[NAME].model.step = step
        # A checkpoint in the middle of an epoch.
        cfg.default_hooks.checkpoint = dict(
            type='CheckpointHook', by_epoch=False, interval=3)
    one, other = killed_and_whole(whole, torn, NAME, 3)
    assert all(torch.equal(data, other[name]) for name, data in one.items())
    steps = [data for name, data in one.items() if name.endswith('.step')]
    assert steps and not any((data == 1).any() for data in steps)


@pytest.mark.slow
def test_its_average_has_steps_that_have_begun(few_bit_cfg, built_from_file):
    cfg = few_bit_cfg()
    cfg.chain.networks[NAME].stage.custom_hooks = [
        *cfg.custom_hooks, dict(type='EMAHook')
    ]
    runner = ChainRunner(cfg)
    last = runner.train()[NAME]['metric']['last']
    tested = runner.test(NAME)[NAME]
    assert tested['accuracy/top1'] == pytest.approx(last)
    model = built_from_file(cfg, NAME)
    assert all(parts.act.begun for parts in model.quantizers.values()
               if 'act' in parts)


@pytest.mark.parametrize('change, message', [
    (dict(custom_hooks=[dict(type='mmrazor.FastNetworkHook', compile=True)]),
     'custom_hooks: FastNetworkHook.compile: chain.networks.resnet8_w2 gets '
     'its low-bit weights in each step'),
    (dict(activation_checkpointing=['backbone.layer1']),
     'activation_checkpointing: chain.networks.resnet8_w2 gets'),
    (dict(efficient_conv_bn_eval='backbone'),
     'efficient_conv_bn_eval: chain.networks.resnet8_w2 gets'),
])
def test_what_does_not_go_with_it(few_bit_cfg, change, message):
    cfg = few_bit_cfg()
    cfg.chain.networks[NAME].stage.update(change)
    with pytest.raises(ConfigError, match=message):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


def test_nothing_begins_with_its_weights(few_bit_cfg):
    cfg = few_bit_cfg(last=True)
    cfg.chain.networks.last.init_from = NAME
    with pytest.raises(ConfigError, match='last.init_from: "resnet8_w2" is'):
        ChainRunner(cfg).train()
