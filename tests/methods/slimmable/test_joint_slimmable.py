# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Several widths in one set of weights."""
import re

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.models.architectures.dynamic_ops import SwitchableBatchNorm2d
from torch.nn import functional as F

from mmdgkd import ConfigError
from mmdgkd.models.losses.dense_kd_loss import dense_kd_loss
from mmdgkd.models.utils.networks import static_network

CLASSES = 5
IMAGES = torch.randn(8, 3, 8, 8, generator=torch.manual_seed(1))
SAMPLES = [DataSample().set_gt_label(i % CLASSES) for i in range(8)]
LABELS = torch.arange(8) % CLASSES


def network(depth=8):
    return dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet6n2', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=64))


def slimmable(widths=(1.0, 0.5, 0.75), **kwargs):
    return dict(
        type='mmrazor.JointSlimmable',
        architecture=network(),
        widths=widths,
        **kwargs)


def build(cfg, seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    return model.train()


def distilled(student, num_drop=0, **kwargs):
    """The student with two untrained teachers, of which it may drop one."""
    preds_T = dict(recorder='logits', from_student=False)
    distiller = dict(
        type='mmrazor.MultiTeacherDistiller',
        student_recorders=dict(
            logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(
            logits=dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')),
        distill_losses=dict(loss_kd=dict(type='mmrazor.DenseKDLoss', tau=4.)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=preds_T)))
    if num_drop:
        preds_T['connector'] = 'drop'
        distiller['connectors'] = dict(
            drop=dict(
                type='mmrazor.StochasticDropConnector', num_drop=num_drop))
    return build(
        dict(
            type='mmrazor.DGKD',
            architecture=student,
            teachers={
                f'net{depth}': dict(build_cfg=network(depth))
                for depth in (20, 14)
            },
            distiller=distiller,
            **kwargs))


def alone(model, width):
    """A width as a plain network, in training."""
    model.set_width(width)
    plain = static_network(model).train()
    model.set_width('1')
    return plain


def logits_of(model):
    return model(IMAGES, mode='tensor')


def test_each_width_has_the_loss_of_a_plain_network_and_all_teachers():
    model = distilled(slimmable(), task_loss_weight=0.5)
    student = model.student
    plain = {width: alone(student, width) for width in ('1', '0.75', '0.5')}
    losses = model(IMAGES, SAMPLES, mode='loss')
    teachers = {
        name: teacher(IMAGES, mode='tensor')
        for name, teacher in model.teachers.items()
    }
    total = 0
    for width, one in plain.items():
        suffix = '' if width == '1' else f'@{width}'
        logits = logits_of(one)
        task = 0.5 * F.cross_entropy(logits, LABELS) / 3
        kd, terms = dense_kd_loss(logits, teachers, tau=4.)
        for key, wanted in {
                'student.loss': task,
                'distill.loss_kd': kd / 3,
                'distill.kd.net20': terms['net20'] / 3,
                'distill.kd.net14': terms['net14'] / 3
        }.items():
            torch.testing.assert_close(losses.pop(key + suffix), wanted)
        total = total + task + kd / 3
    assert not losses
    total.backward()
    # The gradient of the shared weights is the sum of those of all widths.
    model.parse_losses(model(IMAGES, SAMPLES, mode='loss'))[0].backward()
    found = student.architecture.backbone.conv1.weight.grad
    wanted = torch.zeros_like(found)
    for one in plain.values():
        grad = one.backbone.conv1.weight.grad
        wanted[:len(grad)] += grad
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    assert [len(one.backbone.conv1.weight)
            for one in plain.values()] == [16, 12, 8]


def test_teachers_run_once_a_step_and_the_same_are_dropped_at_all_widths():
    model = distilled(slimmable(), num_drop=1)
    calls = []
    for name, teacher in model.teachers.items():
        teacher.register_forward_hook(lambda *_, name=name: calls.append(name))
    active = set()
    for _ in range(6):
        calls.clear()
        losses = model(IMAGES, SAMPLES, mode='loss')
        assert len(calls) == 1
        terms = {key for key in losses if key.startswith('distill.kd.')}
        assert terms == {
            f'distill.kd.{calls[0]}{width}'
            for width in ('', '@0.75', '@0.5')
        }
        active.update(calls)
    assert active == {'net20', 'net14'}


def test_a_step_changes_each_width_and_nothing_is_left_untrained():
    model = build(slimmable())
    before = {name: data.clone() for name, data in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train_step(
        dict(inputs=IMAGES, data_samples=SAMPLES), OptimWrapper(optimizer))
    for name, data in model.state_dict().items():
        if name.endswith('.mask'):
            assert data.all()
        elif not name.endswith('num_batches_tracked'):
            assert not torch.equal(data, before[name]), name
    # Out of the step it has all widths.
    assert torch.equal(
        logits_of(model.eval()), logits_of(alone(model, '1').eval()))
    norms = [
        module for module in model.modules()
        if isinstance(module, SwitchableBatchNorm2d)
    ]
    assert list(norms[0].candidate_bn) == ['8', '12']


def test_one_width_alone_is_a_plain_network():
    one = build(slimmable(width=0.5))
    assert not [name for name in one.state_dict() if 'mask' in name]
    assert not [
        module
        for module in one.modules() if 'mmrazor' in type(module).__module__
    ]
    assert len(one.architecture.backbone.conv1.weight) == 8
    losses = one(IMAGES, SAMPLES, mode='loss')
    assert list(losses) == ['loss']
    wanted = F.cross_entropy(logits_of(one), LABELS)
    torch.testing.assert_close(losses['loss'], wanted)


def test_in_place_each_width_is_distilled_from_the_wider_ones():
    model = build(
        slimmable(
            in_place=dict(type='mmrazor.DenseKDLoss', tau=2., loss_weight=3.)))
    plain = {width: alone(model, width) for width in ('1', '0.75', '0.5')}
    losses = model(IMAGES, SAMPLES, mode='loss')
    logits = {width: logits_of(one) for width, one in plain.items()}
    assert 'in_place.loss' not in losses
    for width, wider in (('0.75', ['1']), ('0.5', ['1', '0.75'])):
        wanted, _ = dense_kd_loss(
            logits[width], {name: logits[name]
                            for name in wider},
            tau=2.,
            loss_weight=3.)
        torch.testing.assert_close(losses[f'in_place.loss@{width}'],
                                   wanted / 3)


def test_it_begins_alike_whether_its_channels_are_known_or_not():
    from mmdgkd.methods.slimmable import widths
    widths._FOUND.clear()
    first, second = build(slimmable()), build(slimmable())
    for one, other in zip(first.state_dict().values(),
                          second.state_dict().values()):
        assert torch.equal(one, other)


@pytest.mark.parametrize('widths, message', [
    (0.5, 'model.widths: 0.5 should be two or more different shares'),
    ([1.0], 'model.widths: [1.0] should be two or more different shares'),
    ([0.5, 1.5], 'model.widths: 1.5 is no share of the channels, above 0 and'),
    ([0, 1], 'model.widths: 0 is no share of the channels'),
    ([0.5, 0.5, 1], 'model.widths: [0.5, 0.5, 1] should be two or more '),
    ([0.5, 0.75], 'model.widths: [0.5, 0.75] has no 1.0, all channels'),
    ([0.5, 0.51, 1], 'are [8, 8, 16] of the 16 channels of'),
])
def test_wrong_widths(widths, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        build(slimmable(widths))
    assert '\n' not in str(error.value)


def test_an_in_place_source_that_is_not_there():
    with pytest.raises(ConfigError, match='in_place.source: "fc" is no mod'):
        build(
            slimmable(in_place=dict(type='mmrazor.DenseKDLoss', source='fc')))


def test_a_width_that_it_has_not():
    with pytest.raises(ConfigError, match='model.width: 0.3 is none of'):
        build(slimmable(width=0.3))


def test_an_in_place_loss_that_takes_no_dict():
    with pytest.raises(ConfigError, match='in_place.type: KLDivergence does'):
        build(slimmable(in_place=dict(type='mmrazor.KLDivergence')))
