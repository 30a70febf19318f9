# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains whose teachers run several times, weighted by the student."""
import re

import pytest


@pytest.fixture
def guided_cfg(trial_cfg):
    """A function that gives a chain whose teachers run several times."""
    return lambda: trial_cfg('student_guided')


@pytest.mark.parametrize('change, message', [
    (lambda cfg: cfg.chain.update(logit_store=dict()),
     'model.distiller.teacher_recorders.logits: a logit store can take the'),
    (lambda cfg: setattr(
        cfg.model.distiller.teacher_recorders, 'logits',
        dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')),
     'model.distiller.distill_losses.loss_kd.preds_T: "resnet14" has one'),
    (lambda cfg: cfg.model.distiller.teacher_recorders.logits.update(
        source='neck.gap'),
     'model: for the stage "resnet8": StochasticTeacherOutputs.source: '
     '"neck.gap" of teacher "resnet14" is '),
])
def test_mistakes_are_refused_before_any_training(guided_cfg, refused, change,
                                                  message):
    cfg = guided_cfg()
    change(cfg)
    refused(cfg, '^' + re.escape(message))
