# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import pytest
from mmrazor.registry import MODELS

from mmdgkd import ConfigError
from mmdgkd.models.distillers.edges import edges_for, expand_edges

FEATURES = dict(
    student_recorders=dict(
        feat=dict(type='mmrazor.ModuleOutputs', source='b')),
    teacher_recorders=dict(
        feat=dict(type='mmrazor.ModuleOutputs', source='b')),
    connectors=dict(
        align=dict(
            type='mmrazor.ConvModuleConnector', in_channel=4, out_channel=8)),
    distill_losses=dict(loss_feat=dict(type='mmrazor.L2Loss')),
    loss_forward_mappings=dict(
        loss_feat=dict(
            s_feature=dict(
                recorder='feat', from_student=True, connector='align'),
            t_feature=dict(recorder='feat', from_student=False))))


def make(**edges):
    return dict(type='mmrazor.MultiTeacherDistiller', edges=edges)


def test_without_edges_nothing_changes():
    cfg = dict(type='mmrazor.MultiTeacherDistiller', distill_losses=dict())
    assert expand_edges(cfg, ['a']) == cfg
    assert edges_for(cfg, ['a'], ['a', 'b']) == cfg


def test_one_edge_for_all_teachers():
    given = make(default=FEATURES)
    before = copy.deepcopy(given)
    expanded = expand_edges(given, ['big', 'mid'])
    assert given == before
    assert 'edges' not in expanded
    assert expanded['teacher_recorders'] == {
        'feat_big': dict(type='mmrazor.ModuleOutputs', source='big.b'),
        'feat_mid': dict(type='mmrazor.ModuleOutputs', source='mid.b')
    }
    assert expanded['student_recorders']['feat_mid']['source'] == 'b'
    assert list(expanded['connectors']) == ['align_big', 'align_mid']
    assert list(
        expanded['distill_losses']) == ['loss_feat_big', 'loss_feat_mid']
    assert expanded['loss_forward_mappings']['loss_feat_mid'] == dict(
        s_feature=dict(
            recorder='feat_mid', from_student=True, connector='align_mid'),
        t_feature=dict(recorder='feat_mid', from_student=False))
    # As MMRazor reads it.
    distiller = MODELS.build(expanded)
    assert set(distiller.connectors) == {'align_big', 'align_mid'}


def test_an_edge_builds_on_the_default_one():
    align = dict(align=dict(out_channel=16))
    expanded = expand_edges(
        make(
            default=FEATURES, big=dict(connectors=align), mid=None,
            low=dict(FEATURES, _delete_=True, connectors=align)),
        ['big', 'mid', 'low'])  # yapf: disable
    assert list(
        expanded['distill_losses']) == ['loss_feat_big', 'loss_feat_low']
    assert expanded['connectors'] == {
        'align_big':
        dict(type='mmrazor.ConvModuleConnector', in_channel=4, out_channel=16),
        'align_low':
        dict(out_channel=16)
    }


def test_one_recorder_of_several_teachers():
    """What a logit store can take the place of stays one."""
    recorder = dict(type='mmrazor.MultiTeacherOutputs', source='fc')
    edge = dict(
        teacher_recorders=dict(logits=recorder),
        distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence')),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='mine', from_student=True),
                preds_T=dict(recorder='logits', from_student=False))))
    cfg = make(default=edge)
    cfg['student_recorders'] = dict(
        mine=dict(type='mmrazor.ModuleOutputs', source='fc'))
    expanded = expand_edges(cfg, ['big', 'mid'])
    assert expanded['teacher_recorders'] == dict(logits=recorder)
    assert expanded['loss_forward_mappings']['loss_kl_mid'] == dict(
        preds_S=dict(recorder='mine', from_student=True),
        preds_T=dict(recorder='logits', from_student=False, teacher='mid'))

    # Its source may differ, nothing else.
    other = dict(teacher_recorders=dict(logits=dict(recorder, source='fd')))
    expanded = expand_edges(
        dict(cfg, edges=dict(default=edge, mid=other)), ['big', 'mid', 'low'])
    assert expanded['teacher_recorders']['logits']['source'] == dict(
        big='fc', mid='fd', low='fc')
    other['teacher_recorders']['logits']['type'] = 'MultiTeacherOutputs'
    with pytest.raises(
            ConfigError,
            match=r'edges.mid.teacher_recorders.logits: is .*fd.*elsewhere '
            r'.*fc.*one for all teachers'):
        expand_edges(
            dict(cfg, edges=dict(default=edge, mid=other)), ['big', 'mid'])


def test_of_the_distiller():
    """What the edges refer to and do not have is common to all teachers."""
    edge = copy.deepcopy(FEATURES)
    align = edge.pop('connectors')
    expanded = expand_edges(
        dict(make(default=edge), connectors=align), ['big', 'mid'])
    assert expanded['connectors'] == align
    for mapping in expanded['loss_forward_mappings'].values():
        assert mapping['s_feature']['connector'] == 'align'


def broken(path, value):
    edge = copy.deepcopy(FEATURES)
    *keys, last = path.split('.')
    part = edge
    for key in keys:
        part = part[key]
    part[last] = value
    return edge


MAPPING = 'loss_forward_mappings.loss_feat'


@pytest.mark.parametrize('edges, message', [
    ([], r'edges: is \[\], should be a dict, teacher -> its edge'),
    (dict(bigg={}), r'edges.bigg: there is no such teacher; there are '
     'default, big, mid; is big meant?'),
    (dict(big=3), 'edges.big: is 3, should be a dict or None'),
    (dict(default=dict(losses={})), 'edges.default.losses: an edge has '
     'student_recorders, teacher_recorders, connectors, distill_losses, '
     'loss_forward_mappings'),
    (dict(default=broken(f'{MAPPING}.s_feature.recorder', 'fest')),
     f'edges.big.{MAPPING}.s_feature.recorder: "fest" is none of the '
     'student_recorders of the edge or the distiller, which are feat'),
    (dict(default=broken(f'{MAPPING}.s_feature.connector', 'a')),
     f'edges.big.{MAPPING}.s_feature.connector: "a" is none of the '
     'connectors .*, which are align'),
    (dict(default=broken(f'{MAPPING}.s_feature', dict(recorder='feat'))),
     f'edges.big.{MAPPING}.s_feature: needs a recorder, and from_student'),
    (dict(default=broken('distill_losses', {})),
     f'edges.big.{MAPPING}: "loss_feat" is none of the distill_losses'),
    (dict(default=broken('connectors.align', [1]),
          big=dict(connectors=dict(align={}))),
     'edges.big: does not merge into model.distiller.edges.default'),
    (dict(big=broken('teacher_recorders.feat', 'b')),
     "edges.big.teacher_recorders.feat: is 'b', should be a dict$"),
    (dict(big=broken('student_recorders.feat', None)),
     'edges.big.student_recorders.feat: is None, should be a dict$'),
    (dict(big=broken('teacher_recorders', ['b'])),
     r"edges.big.teacher_recorders: is \['b'\], should be a dict$"),
    (dict(big=broken('connectors.align', ['b'])),
     r"edges.big.connectors.align: is \['b'\], should be a dict or a list"),
    (dict(big=broken(f'{MAPPING}', 'feat')),
     f"edges.big.{MAPPING}: is 'feat', should be a dict$"),
    (dict(big=broken(f'{MAPPING}.t_feature', 'feat')),
     f"edges.big.{MAPPING}.t_feature: is 'feat', should be a dict$"),
])  # yapf: disable
def test_mistakes(edges, message):
    with pytest.raises(ConfigError, match=message):
        expand_edges(
            dict(type='mmrazor.MultiTeacherDistiller', edges=edges),
            ['big', 'mid'])


def test_the_mean_over_the_teachers():
    expanded = expand_edges(
        dict(make(default=FEATURES), edge_reduction='mean'), ['big', 'mid'])
    assert expanded['averaged_losses'] == dict(
        loss_feat_big='big', loss_feat_mid='mid')
    assert MODELS.build(expanded)._averaged == expanded['averaged_losses']
    with pytest.raises(
            ConfigError,
            match="edge_reduction: is 'median', should be 'sum' or 'mean'"):
        expand_edges(
            dict(make(default=FEATURES), edge_reduction='median'), ['big'])


def test_a_loss_must_not_be_shared():
    edge = copy.deepcopy(FEATURES)
    losses = edge.pop('distill_losses')
    with pytest.raises(
            ConfigError, match='each edge has its losses to itself'):
        expand_edges(dict(make(default=edge), distill_losses=losses), ['big'])


def test_of_a_chain():
    """Teachers of other stages may have edges; unknown names are refused."""
    cfg = make(default=FEATURES, big=None, mid=None)
    assert list(edges_for(
        cfg, ['big'], ['big', 'mid', 'low'])['edges']) == ['default', 'big']
    with pytest.raises(
            ConfigError, match='edges.mid: there is no such teacher'):
        edges_for(cfg, ['big'], ['big', 'low'])


def test_edges_need_dgkd():
    with pytest.raises(ConfigError, match='edges: only mmrazor.DGKD'):
        MODELS.build(make(default=FEATURES))
