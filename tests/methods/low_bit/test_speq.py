# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError
from mmdgkd.methods.low_bit.cosine_loss import cosine_loss
from mmdgkd.methods.low_bit.few_bit_network import FewBitNetwork
from mmdgkd.methods.low_bit.quantizers.drawn_bits import drawn_bits

NETWORK = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet6n2', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64))


def build(kind='SPEQ', **settings):
    torch.manual_seed(0)
    cfg = dict(type=f'mmrazor.{kind}', architecture=dict(NETWORK), **settings)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def batch():
    torch.manual_seed(1)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    return torch.randn(4, 3, 8, 8), samples


def state_after_a_step(model):
    losses = model.train()(*batch(), mode='loss')
    sum(losses.values()).backward()
    return losses, {
        name: data.clone()
        for name, data in model.state_dict().items()
    }


def test_the_teacher_is_the_network_with_the_drawn_precisions():
    model = build().train()
    inputs, samples = batch()
    # Whatever has run in this process before.
    clock = copy.deepcopy(model._clock)
    losses = model(inputs, samples, mode='loss')
    drawn = drawn_bits(clock.seed, clock.tick(), model.inner_layers, 2)
    # By hand, in training mode with batch statistics.
    with torch.no_grad():
        student = model(inputs)
        for name, bits in drawn.items():
            model.quantizers[name].act.bits_now = bits
        teacher = model(inputs)
    assert not torch.equal(student, teacher)
    assert losses['loss_speq'].item() == pytest.approx(
        cosine_loss(student, teacher).item(), rel=1e-4)
    assert losses['loss_speq'] > 0


def test_it_has_the_state_and_the_statistics_of_a_network_without_it():
    """Only gradients and so the weights of later steps are others."""
    plain, own = build('FewBitNetwork', act_bits=2), build()
    _, before = state_after_a_step(plain)
    losses, state = state_after_a_step(own)
    assert set(losses) == {'loss', 'loss_speq'}
    assert before.keys() == state.keys()
    assert all(torch.equal(data, state[name]) for name, data in before.items())
    count = sum(param.numel() for param in plain.parameters())
    assert sum(param.numel() for param in own.parameters()) == count
    conv = own.architecture.backbone.layer1[0].conv1.weight
    other = plain.architecture.backbone.layer1[0].conv1.weight
    assert not torch.equal(conv.grad, other.grad)


@pytest.mark.parametrize('norm, count', [('batch', 1), ('running', 1),
                                         ('update', 2)])
def test_running_statistics_are_those_of_the_student_unless_wanted(
        norm, count):
    model = build(teacher_norm=norm)
    _, state = state_after_a_step(model)
    assert state['architecture.backbone.bn1.num_batches_tracked'] == count
    bn = model.architecture.backbone.bn1
    assert bn.training and bn.track_running_stats


def test_it_is_switched_back_and_off_outside_of_training():
    model = build()
    calls = []
    run = model._run
    model._run = lambda *args: calls.append(args[-1]) or run(*args)
    model.train()(*batch(), mode='loss')
    assert calls == ['loss', 'tensor']
    assert all(parts.act.bits_now is None and parts.act.observing
               for parts in model.quantizers.values() if 'act' in parts)
    assert 'loss_speq' not in model.eval()(*batch(), mode='loss')
    model(batch()[0])
    assert len(calls) == 4
    assert isinstance(model, FewBitNetwork)


def test_the_last_layer_keeps_its_bits():
    assert 'head-fc' not in build().inner_layers
    assert len(build(first_last_bits=None).inner_layers) == 8


@pytest.mark.parametrize('settings, message', [
    (dict(act_bits=None), 'model.act_bits: None; SPEQ draws the precision'),
    (dict(act_bits=8), 'model.high_bits: 8 should be an integer above '
     'act_bits, 8, and at most 8'),
    (dict(high_bits=9), 'model.high_bits: 9 should be'),
    (dict(speq_loss=dict(type='mmrazor.DenseKDLoss')),
     'model.speq_loss.type: DenseKDLoss does not take the logits of a network '
     'and those of its teacher; use CosineLoss'),
    (dict(prob=0), 'model.prob: 0 should be above 0 and at most 1'),
    (dict(teacher_norm='none'), "model.teacher_norm: 'none' is none of batch"),
    (dict(source='head.nothing'), 'model.source: "head.nothing" is no module '
     'of the network'),
])
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)
