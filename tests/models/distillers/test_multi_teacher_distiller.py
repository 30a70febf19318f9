# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import OrderedDict

import pytest
import torch
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd import ConfigError


def make(**kwargs):
    cfg = dict(
        type='mmrazor.MultiTeacherDistiller',
        teacher_recorders=dict(
            out=dict(type='mmrazor.MultiTeacherOutputs', source='fc')))
    cfg.update(kwargs)
    return MODELS.build(cfg)


def teachers(*names):
    return {
        name:
        nn.Sequential() if name == 'empty' else nn.ModuleDict(
            dict(fc=nn.Linear(2, 2)))
        for name in names
    }


def test_without_a_policy_all_are_active():
    distiller = make()
    distiller.prepare_from_teacher(teachers('a', 'b'))
    assert distiller.begin_step(0) == ['a', 'b']


def test_a_policy_anywhere_among_the_connectors_decides():
    drop = dict(type='mmrazor.StochasticDropConnector', num_drop=1)
    distiller = make(connectors=dict(both=[drop]))
    distiller.prepare_from_teacher(teachers('a', 'b'))
    assert {tuple(distiller.begin_step(step))
            for step in range(9)} == {('a', ), ('b', )}


def test_two_policies_are_refused():
    drop = dict(type='mmrazor.StochasticDropConnector')
    with pytest.raises(ConfigError, match='there are 2 StochasticDrop'):
        make(connectors=dict(one=drop, two=dict(drop)))


def test_a_missing_module_names_the_key_and_the_teacher():
    with pytest.raises(
            ConfigError,
            match='model.distiller.teacher_recorders.out.source: "fc" is no '
            'module of teacher "empty"'):
        make().prepare_from_teacher(teachers('a', 'empty'))


def test_a_missing_module_of_the_student():
    recorder = dict(out=dict(type='mmrazor.ModuleOutputs', source='fd'))
    with pytest.raises(
            ConfigError,
            match='model.distiller.student_recorders.out.source: "fd" is no '
            'module of the student; similar: fc'):
        make(student_recorders=recorder).prepare_from_student(
            nn.Sequential(OrderedDict(fc=nn.Linear(2, 2))))


def test_a_stock_recorder_needs_the_name_of_a_teacher():
    recorder = dict(out=dict(type='mmrazor.ModuleOutputs', source='fc'))
    with pytest.raises(
            ConfigError,
            match='model.distiller.teacher_recorders.out.source: "fc" begins '
            'with none of the teachers a; .*, such as "a.fc"'):
        make(teacher_recorders=recorder).prepare_from_teacher(teachers('a'))
    recorder['out']['source'] = 'a.fc'
    make(teacher_recorders=recorder).prepare_from_teacher(teachers('a'))


@pytest.mark.parametrize('name', ['kd', 'los_kd'])
def test_a_loss_that_would_not_be_trained(name):
    with pytest.raises(
            ConfigError,
            match=f'model.distiller.distill_losses.{name}: has no "loss" in '
            f'its name, .* call it "loss_{name}"'):
        make(distill_losses={name: dict(type='mmrazor.DenseKDLoss')})


def test_a_teachers_name_must_not_be_summed():
    with pytest.raises(ConfigError, match='"lossless" contains "loss"'):
        make().prepare_from_teacher(teachers('lossless'))


def test_each_loss_is_logged_with_its_terms():
    distiller = make(
        student_recorders=dict(
            out=dict(type='mmrazor.ModuleOutputs', source='fc')),
        distill_losses=dict(
            loss_kd=dict(type='mmrazor.DenseKDLoss'),
            my_loss=dict(type='mmrazor.DenseKDLoss')),
        loss_forward_mappings={
            name:
            dict(
                preds_S=dict(recorder='out', from_student=True),
                preds_T=dict(recorder='out', from_student=False))
            for name in ('loss_kd', 'my_loss')
        })
    models = teachers('a', 'b')
    student = nn.ModuleDict(dict(fc=nn.Linear(2, 2)))
    distiller.prepare_from_student(student)
    distiller.prepare_from_teacher(models)
    distiller.begin_step(0)
    with distiller.student_recorders, distiller.teacher_recorders:
        for model in (student, *models.values()):
            model['fc'](torch.ones(3, 2))
    assert list(distiller.compute_distill_losses()) == [
        'loss_kd', 'kd.a', 'kd.b', 'my_loss', 'my.a', 'my.b'
    ]
