# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains in which teachers teach by more than their logits."""
import glob
import os.path as osp
from pathlib import Path

import pytest

from mmdgkd.chain.runner import ChainRunner

LOGITS = dict(
    student_recorders=dict(
        logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(
        logits=dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')),
    distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence', tau=4.0)),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='logits', from_student=True),
            preds_T=dict(recorder='logits', from_student=False))))


def maps(of_student='backbone', of_teacher='backbone', channels=64):
    before, after = channels if isinstance(channels, tuple) else (channels, 64)
    return dict(
        student_recorders=dict(
            maps=dict(type='mmrazor.ModuleOutputs', source=of_student)),
        teacher_recorders=dict(
            maps=dict(type='mmrazor.ModuleOutputs', source=of_teacher)),
        connectors=dict(
            align=dict(
                type='mmrazor.ConvModuleConnector',
                in_channel=before,
                out_channel=after)),
        distill_losses=dict(
            loss_map=dict(type='mmrazor.L2Loss', normalize=False)),
        loss_forward_mappings=dict(
            loss_map=dict(
                s_feature=dict(
                    recorder='maps',
                    from_student=True,
                    data_idx=0,
                    connector='align'),
                t_feature=dict(
                    recorder='maps', from_student=False, data_idx=0))))


def with_edges(cfg, **edges):
    cfg.model.distiller = dict(
        type='mmrazor.MultiTeacherDistiller', edges=edges)
    return cfg


def logged(cfg, name):
    """The log of a stage."""
    path, = glob.glob(osp.join(cfg.work_dir, name, '2*', '*.log'))
    return Path(path).read_text()


def test_maps_and_logits_of_all_teachers(tiny_cfg):
    """The terms of the teachers of a stage, and no others."""
    both = {
        key: {
            **part,
            **LOGITS.get(key, {})
        }
        for key, part in maps().items()
    }
    cfg = with_edges(
        tiny_cfg(), default=both, resnet20=dict(maps(), _delete_=True))
    cfg.chain.logit_store = None
    cfg.default_hooks.logger.interval = 1
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet8']['state'] == 'done'
    first, last = logged(cfg, 'resnet14'), logged(cfg, 'resnet8')
    assert 'distill.loss_map_resnet20: ' in first
    for term in ('loss_map_resnet20', 'loss_map_resnet14', 'loss_kl_resnet14'):
        assert f'distill.{term}: ' in last
        assert term == 'loss_map_resnet20' or f'distill.{term}' not in first
    # It was given an edge of its own, in full.
    assert 'loss_kl_resnet20' not in last


def test_logits_alone_are_cached(tiny_cfg):
    cfg = with_edges(tiny_cfg(epochs=2), default=LOGITS)
    cfg.chain.views = dict(num_views=1)
    ledger = ChainRunner(cfg).train()
    counts = ledger['resnet8']['store']['resnet20']
    # By the stage before, in its two epochs.
    assert (counts['recalled'], counts['computed']) == (128, 0)


@pytest.mark.parametrize('change, message', [
    (dict(edges=dict(default=LOGITS, resnet21=None)),
     'model.distiller.edges.resnet21: there is no such teacher; there are '
     'default, resnet20, resnet14, resnet8; is resnet20 meant'),
    (dict(edges=dict(default=maps(of_teacher='backbone.stem'))),
     'model.distiller.edges.default.teacher_recorders.maps.source: '
     '"resnet20.backbone.stem" is no module of teacher "resnet20"'),
    (dict(edges=dict(resnet14=maps(of_teacher='backbone.layer1'))),
     'loss_forward_mappings.loss_map_resnet14.t_feature: .*data_idx'),
    (dict(edges=dict(resnet14=maps(channels=16))),
     'loss_forward_mappings.loss_map_resnet14.s_feature: .*channel'),
    (dict(edges=dict(resnet14=maps(channels=(64, 16)))),
     r'loss_forward_mappings.loss_map_resnet14: s_feature \(32, 16, 2, 2\) '
     r'and t_feature \(32, 64, 2, 2\) do not fit'),
])
def test_mistakes_are_refused_before_any_training(tiny_cfg, refused, change,
                                                  message):
    cfg = tiny_cfg()
    cfg.chain.logit_store = None
    cfg.model.distiller = dict(type='mmrazor.MultiTeacherDistiller', **change)
    refused(cfg, message)
