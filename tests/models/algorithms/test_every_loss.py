# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor's losses and connectors, each from every teacher of a stage."""
import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from mmdgkd import ConfigError

CLASSES = 5
TEACHERS = dict(big=20, mid=14)


def network(depth, width=16):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor'),
        backbone=dict(
            type='ResNet6n2',
            depth=depth,
            stem_channels=width,
            base_channels=width),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', num_classes=CLASSES, in_channels=4 * width))


def both(source, kind='ModuleOutputs'):
    """The same source of student and teachers."""
    return dict(
        student_recorders=dict(
            it=dict(type='mmrazor.ModuleOutputs', source=source)),
        teacher_recorders=dict(it=dict(type=f'mmrazor.{kind}', source=source)))


def of_logits(loss, student='preds_S', teacher='preds_T', labels=False):
    edge = both('head.fc', 'MultiTeacherOutputs')
    edge['distill_losses'] = dict(loss_it=dict(loss))
    mapping = {
        student: dict(recorder='it', from_student=True),
        teacher: dict(recorder='it', from_student=False)
    }
    if labels:
        edge['student_recorders']['labels'] = dict(
            type='mmrazor.ModuleInputs', source='head.loss_module')
        mapping['gt_labels'] = dict(
            recorder='labels', from_student=True, data_idx=1)
    edge['loss_forward_mappings'] = dict(loss_it=mapping)
    return edge


def of_maps(loss,
            align,
            student='s_feature',
            teacher='t_feature',
            source='backbone.layer2',
            of_teacher=None):
    edge = both(source)
    edge['distill_losses'] = dict(loss_it=dict(loss))
    edge['connectors'] = dict(align=align)
    to_teacher = dict(recorder='it', from_student=False)
    if of_teacher is not None:
        edge['connectors']['of_teacher'] = of_teacher
        to_teacher['connector'] = 'of_teacher'
    edge['loss_forward_mappings'] = dict(
        loss_it={
            student: dict(recorder='it', from_student=True, connector='align'),
            teacher: to_teacher
        })
    return edge


# The student has half the channels.
CONV = dict(type='mmrazor.ConvModuleConnector', in_channel=16, out_channel=32)
NO_ACT = dict(CONV, norm_cfg=dict(type='BN'), act_cfg=None)
EDGES = dict(
    KLDivergence=of_logits(dict(type='mmrazor.KLDivergence', tau=4.0)),
    KDSoftCELoss=of_logits(dict(type='mmrazor.KDSoftCELoss', tau=4.0)),
    DISTLoss=of_logits(dict(type='mmrazor.DISTLoss'), 'logits_S', 'logits_T'),
    DKDLoss=of_logits(dict(type='mmrazor.DKDLoss', tau=4.0), labels=True),
    WSLD=of_logits(
        dict(type='mmrazor.WSLD', tau=2, num_classes=CLASSES), 'student',
        'teacher', True),
    DistanceWiseRKD=of_logits(dict(type='mmrazor.DistanceWiseRKD')),
    AngleWiseRKD=of_logits(dict(type='mmrazor.AngleWiseRKD')),
    L2Loss=of_maps(dict(type='mmrazor.L2Loss'), CONV),
    L1Loss=of_maps(dict(type='mmrazor.L1Loss'), CONV),
    ATLoss=of_maps(dict(type='mmrazor.ATLoss'), CONV),
    ABLoss=of_maps(dict(type='mmrazor.ABLoss'), NO_ACT),
    ChannelWiseDivergence=of_maps(
        dict(type='mmrazor.ChannelWiseDivergence'), CONV, 'preds_S',
        'preds_T'),
    PKDLoss=of_maps(dict(type='mmrazor.PKDLoss'), CONV, 'preds_S', 'preds_T'),
    MGDLoss=of_maps(
        dict(type='mmrazor.MGDLoss'),
        dict(
            type='mmrazor.MGDConnector',
            student_channels=16,
            teacher_channels=32), 'preds_S', 'preds_T'),
    OFDLoss=of_maps(
        dict(type='mmrazor.OFDLoss'),
        NO_ACT,
        source='backbone.layer2.0.bn1',
        of_teacher=dict(type='mmrazor.OFDTeacherConnector')),
    FTLoss=of_maps(
        dict(type='mmrazor.FTLoss'),
        dict(type='mmrazor.Translator', in_channel=16, out_channel=16),
        of_teacher=dict(
            type='mmrazor.Paraphraser',
            phase='train',
            in_channel=32,
            out_channel=16)),
    FBKDLoss=of_maps(
        dict(type='mmrazor.FBKDLoss'),
        [CONV, dict(type='mmrazor.FBKDStudentConnector', in_channels=32)],
        's_input',
        't_input',
        of_teacher=dict(type='mmrazor.FBKDTeacherConnector', in_channels=32)),
)


def make(edges, drop=False, reduction='sum', **kwargs):
    distiller = dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction=reduction,
        edges=copy.deepcopy(edges))
    if drop:
        distiller['connectors'] = dict(
            drop=dict(
                type='mmrazor.StochasticDropConnector',
                mode='count',
                num_drop=1,
                seed=0))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='mmrazor.DGKD',
                architecture=network(8, 8),
                teachers={
                    name: dict(build_cfg=network(depth))
                    for name, depth in TEACHERS.items()
                },
                distiller=distiller,
                **kwargs))
    model.init_weights()
    return model.train()


def step(model, n=6, seed=0):
    """The losses of a batch, and their gradients."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n, ), generator=generator)
    samples = [DataSample().set_gt_label(label) for label in labels]
    images = torch.randn(n, 3, 16, 16, generator=generator)
    losses = model(images, samples, mode='loss')
    model.zero_grad()
    model.parse_losses(losses)[0].backward()
    return losses


def check(model, losses):
    """DDP waits for a gradient of all that is trained."""
    for name in TEACHERS:
        loss = losses[f'distill.loss_it_{name}']
        assert torch.isfinite(loss) and loss > 0, name
    for name, param in model.named_parameters():
        if param.requires_grad:
            assert param.grad is not None, name
            assert torch.isfinite(param.grad).all(), name


@pytest.mark.parametrize('name', EDGES)
def test_from_every_teacher(name):
    model = make(dict(default=EDGES[name]))
    losses = step(model)
    check(model, losses)
    # Each teacher has other outputs.
    assert losses['distill.loss_it_big'] != losses['distill.loss_it_mid']
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    optimizer.step()
    check(model, step(model))


@pytest.mark.parametrize('name', ['KLDivergence', 'L2Loss', 'FBKDLoss'])
def test_a_dropped_teacher(name):
    """No loss of it, and a gradient of zero for what belongs to its edge."""
    model = make(dict(default=EDGES[name]), drop=True)
    dropped = set()
    for at in range(6):
        losses = step(model, seed=at)
        active, = model.distiller._active
        other, = set(TEACHERS) - {active}
        dropped.add(other)
        assert losses[f'distill.loss_it_{active}'] > 0
        assert not losses.get(f'distill.loss_it_{other}', 0)
        for path, param in model.named_parameters():
            if not param.requires_grad:
                continue
            assert param.grad is not None, path
            if f'_{other}.' in path:
                assert not param.grad.any(), path
    assert dropped == set(TEACHERS)


def test_many_teachers_weigh_no_more_than_one():
    """The mean is over those that are active."""
    edges = dict(default=EDGES['KLDivergence'])
    for drop, active in ((False, 2), (True, 1)):
        summed = step(make(edges, drop))
        mean = step(make(edges, drop, 'mean'))
        terms = [key for key in mean if key.startswith('distill.loss_it_')]
        assert len(terms) == active
        for key in terms:
            assert mean[key].item() == pytest.approx(summed[key].item() /
                                                     active)
        assert mean['student.loss'] == summed['student.loss']


def test_a_teacher_without_an_edge_does_not_count_in_the_mean():
    edges = dict(default=EDGES['KLDivergence'], mid=None)
    key = 'distill.loss_it_big'
    summed, mean = step(make(edges)), step(make(edges, reduction='mean'))
    assert mean[key].item() == pytest.approx(summed[key].item()) != 0


def test_each_edge_its_own():
    """Logits from one teacher, maps from the other."""
    model = make(dict(big=EDGES['KLDivergence'], mid=EDGES['L2Loss']))
    losses = step(model)
    check(model, losses)
    assert [*model.distiller.connectors] == ['align_mid']


def test_maps_of_another_size():
    align = [CONV, dict(type='mmrazor.ResizeConnector', size=4)]
    edge = copy.deepcopy(of_maps(dict(type='mmrazor.L2Loss'), align))
    # 16 channels of 8 x 8 against 64 of 4 x 4.
    edge['teacher_recorders']['it']['source'] = 'backbone.layer3'
    edge['connectors']['align'][0] = dict(CONV, out_channel=64)
    model = make(dict(default=edge))
    check(model, step(model))

    del edge['connectors']['align'][1]
    with pytest.raises(
            ConfigError,
            match=r'model.distiller.loss_forward_mappings.loss_it_big: '
            r's_feature \(6, 64, 8, 8\) and t_feature \(6, 64, 4, 4\) do not '
            r'fit; .* mmrazor.ResizeConnector for height and width'):
        step(
            make(
                dict(
                    default=dict(
                        edge,
                        distill_losses=dict(
                            loss_it=dict(
                                type='mmrazor.L2Loss', normalize=False))))))


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_maps_in_half_precision(precision):
    """Connectors keep float32 weights (MMRazor's issue 190)."""
    edge = of_maps(
        dict(type='mmrazor.L2Loss'),
        CONV,
        of_teacher=dict(
            type='mmrazor.ConvModuleConnector', in_channel=32, out_channel=32))
    model = make(dict(default=edge), teacher_options=dict(precision=precision))
    exact = make(dict(default=edge))
    losses, wanted = step(model), step(exact)
    check(model, losses)
    for name in TEACHERS:
        key = f'distill.loss_it_{name}'
        assert losses[key].dtype == torch.float32
        # Rounded, and not by more than that.
        rounded, full = losses[key].item(), wanted[key].item()
        assert rounded == pytest.approx(full, rel=0.05) and rounded != full
