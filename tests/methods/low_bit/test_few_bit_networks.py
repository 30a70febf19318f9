# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain with low-bit weights and activations."""
import os

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.low_bit.quantizers.integers import integer_network
from mmdgkd.methods.low_bit.quantizers.weight_quantizer import WeightQuantizer

NAME = 'resnet8_w2'


@pytest.fixture
def few_bit_cfg(trial_cfg):
    """A function that gives a ResNet-8 of low bits, after a given one."""

    def make(epochs=1, last=False):
        cfg = trial_cfg('low_bit', epochs)
        if not last:
            cfg.chain.networks.last = None
        return cfg

    return make


@pytest.mark.xdist_group('contract_low_bit')
def test_it_is_exported_as_integers_and_a_teacher(tried, teacher_as_run,
                                                  built_from_file,
                                                  monkeypatch):
    cfg, ledger = tried('low_bit').cfg, tried('low_bit').ledger
    entry = ledger[NAME]
    assert entry['params'] == ledger['last']['params']
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

    chain = ChainRunner(cfg).chain
    ((_, facts), ) = export_chain(cfg, chain, NAME).items()
    (found, ) = facts.extras
    assert found.weights == 77360 and found.size < facts.size / 2
    # The 432 of the first and the 640 of the last layer have 8 bits.
    assert found.packed == (77360 - 1072) // 4 + 1072
    tensors = torch.load(found.path, weights_only=True)['state_dict']
    conv = tensors['backbone.layer1.0.conv1.weight']
    assert conv.dtype == torch.int8 and conv.unique().tolist() == [-1, 0, 1]
    numbers = integer_network(model.plain_network(), tensors)
    with torch.no_grad():
        off = (numbers(inputs) - wanted).abs()
    assert off.max() < .05 * wanted.abs().max()

    # A level that is one off is no rounding.
    before = WeightQuantizer.levels_of
    monkeypatch.setattr(WeightQuantizer, 'levels_of',
                        lambda self, weight: before(self, weight) + 1)
    with pytest.raises(ConfigError, match='integers give other logits'):
        export_chain(cfg, chain, NAME)


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
