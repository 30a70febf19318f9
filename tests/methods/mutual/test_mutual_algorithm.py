# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Several networks that teach each other in one step."""
import re

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmdgkd import ConfigError
from mmdgkd.methods.mutual.mutual_networks import mutual_losses
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss, dense_kd_loss
from mmdgkd.models.utils.networks import static_network

CLASSES = 5
IMAGES = torch.randn(8, 3, 8, 8, generator=torch.manual_seed(1))
SAMPLES = [DataSample().set_gt_label(i % CLASSES) for i in range(8)]
LABELS = torch.arange(8) % CLASSES
NAMES = ('', 'a', 'b')


def network(depth=8):
    return dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet6n2', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=64))


def mutual(**kwargs):
    return dict(
        dict(
            type='mmrazor.MutualNetworks',
            architecture=network(14),
            peers=dict(b=network(), a=network())), **kwargs)


def build(cfg, seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def distilled(student, recorded='head.fc'):
    """The student with two untrained teachers."""
    return build(
        dict(
            type='mmrazor.DGKD',
            architecture=student,
            teachers={
                f'net{depth}': dict(build_cfg=network(depth))
                for depth in (20, 14)
            },
            task_loss_weight=0.5,
            distiller=dict(
                type='mmrazor.MultiTeacherDistiller',
                student_recorders=dict(
                    logits=dict(type='mmrazor.ModuleOutputs',
                                source=recorded)),
                teacher_recorders=dict(
                    logits=dict(
                        type='mmrazor.MultiTeacherOutputs', source='head.fc')),
                distill_losses=dict(
                    loss_kd=dict(type='mmrazor.DenseKDLoss', tau=4.)),
                loss_forward_mappings=dict(
                    loss_kd=dict(
                        preds_S=dict(recorder='logits', from_student=True),
                        preds_T=dict(recorder='logits',
                                     from_student=False))))))


def key(name, network):
    return f'{name}@{network}' if network else name


def test_each_is_distilled_from_the_mean_of_the_others_by_hand():
    # Probabilities (1/2, 1/2), (3/4, 1/4) and (1/4, 3/4).
    log = torch.tensor
    logits = dict(
        x=log([[.5, .5]]).log(),
        y=log([[.75, .25]]).log(),
        z=log([[.25, .75]]).log())
    found = mutual_losses(DenseKDLoss(form='averaged'), logits)

    def kl(p, q):
        return sum(a * torch.log(log(a / b)) for a, b in zip(p, q))

    x, y, z = (.5, .5), (.75, .25), (.25, .75)
    for name, one, others in (('x', x, (y, z)), ('y', y, (x, z)), ('z', z,
                                                                   (x, y))):
        wanted = sum(kl(other, one) for other in others) / 2
        assert found[name] == pytest.approx(float(wanted), rel=1e-5)


def test_the_logits_of_the_others_get_no_gradient():
    logits = {
        name: torch.randn(3, 4, requires_grad=True)
        for name in ('x', 'y', 'z')
    }

    def distance(preds_S, preds_T):
        return sum(((preds_S - each)**2).sum() for each in preds_T.values())

    mutual_losses(distance, logits)['x'].backward()
    assert logits['x'].grad.abs().sum() > 0
    assert logits['y'].grad is None and logits['z'].grad is None


def test_each_has_its_own_loss_and_all_teachers():
    model = distilled(mutual())
    networks = model.student.networks
    assert tuple(networks) == NAMES
    logits = {
        name: static_network(one).train()(IMAGES, mode='tensor')
        for name, one in networks.items()
    }
    losses = model(IMAGES, SAMPLES, mode='loss')
    teachers = {
        name: teacher(IMAGES, mode='tensor')
        for name, teacher in model.teachers.items()
    }
    total = 0
    for name in NAMES:
        task = 0.5 * F.cross_entropy(logits[name], LABELS)
        kd, _ = dense_kd_loss(logits[name], teachers, tau=4.)
        others = {other: logits[other] for other in NAMES if other != name}
        peers, _ = dense_kd_loss(logits[name], others, loss_weight=.5)
        for what, wanted in (('student.loss', task), ('distill.loss_kd', kd),
                             ('mutual.loss', peers)):
            torch.testing.assert_close(losses[key(what, name)], wanted)
            total += wanted
        assert key('distill.kd.net20', name) in losses
    torch.testing.assert_close(model.parse_losses(losses)[0], total)


def test_a_network_is_trained_by_its_own_loss_alone():
    model = build(mutual())
    losses = model(IMAGES, SAMPLES, mode='loss')
    (losses['loss@a'] + losses['mutual.loss@a']).backward()
    for name, one in model.networks.items():
        gets = [param.grad is not None for param in one.parameters()]
        assert all(gets) if name == 'a' else not any(gets)


def test_all_begin_with_weights_of_their_own_and_predict_as_the_first():
    model = build(mutual()).eval()
    weights = [one.head.fc.weight for one in model.networks.values()]
    assert not torch.equal(weights[1], weights[2])
    # As MMPretrain begins a head, not as PyTorch does.
    assert all(0 < weight.abs().max() < .06 for weight in weights)
    assert torch.equal(
        model(IMAGES, mode='tensor'),
        model.architecture(IMAGES, mode='tensor'))


def test_the_order_of_the_peers_makes_no_difference():
    one, other = (
        build(mutual(peers={name: network()
                            for name in names})).state_dict()
        for names in (('a', 'b'), ('b', 'a')))
    assert list(one) == list(other)
    assert all(torch.equal(data, other[key]) for key, data in one.items())


@pytest.mark.parametrize('change, message', [
    (dict(peers={}), 'model.peers: must be a dict of the other networks'),
    (dict(source='head.fx'),
     'model.source: "head.fx" is no module of model.architecture'),
    (dict(mutual_loss=dict(type='mmrazor.KLDivergence')),
     'model.mutual_loss.type: KLDivergence does not take the logits of a'),
    (dict(
        mutual_loss=dict(
            type='mmrazor.DenseKDLoss',
            form='averaged',
            teacher_weights=dict(a=2.))),
     'model.mutual_loss.teacher_weights: each network has other teachers'),
    (dict(mutual_loss=dict(type='mmrazor.DenseKDLoss', form='paper')),
     "model.mutual_loss.form: 'paper' also weighs the labels by the number"),
    (dict(
        peers=dict(
            a=dict(
                type='mmrazor.MutualNetworks',
                architecture=network(),
                peers=dict(b=network())))),
     'model.peers.a: is a MutualNetworks; networks that teach each other are'),
])
def test_wrong_settings(change, message):
    with pytest.raises(ConfigError, match='^' + re.escape(message)) as info:
        build(mutual(**change))
    assert '\n' not in str(info.value)
