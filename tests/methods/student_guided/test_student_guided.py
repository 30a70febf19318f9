# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains whose teachers speak several times, as the student weighs them."""
import re

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner


@pytest.fixture
def guided_cfg(tiny_cfg, root):
    """A function that gives a ResNet-20 and 8, both of them of depth 8."""

    def make(epochs=2, **kwargs):
        cfg = tiny_cfg(
            epochs,
            root / 'configs/student_guided/resnet20_to_resnet8_digits.py',
            **kwargs)
        cfg.chain.networks.resnet14 = None
        cfg.chain.networks.resnet20.model.backbone.depth = 8
        return cfg

    return make


def test_killed_and_resumed_it_hears_the_same_passes(guided_cfg,
                                                     killed_and_whole):
    whole, torn = (guided_cfg(work_dir=name) for name in ('whole', 'torn'))
    one, other = killed_and_whole(whole, torn, 'resnet8', 3)
    assert all(torch.equal(data, other[key]) for key, data in one.items())


@pytest.mark.parametrize('change, message', [
    (lambda cfg: cfg.chain.update(logit_store=dict()),
     'model.distiller.teacher_recorders.logits: a logit store can take the'),
    (lambda cfg: setattr(
        cfg.model.distiller.teacher_recorders, 'logits',
        dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')),
     'model.distiller.distill_losses.loss_kd.preds_T: "resnet20" has one'),
    (lambda cfg: cfg.model.distiller.teacher_recorders.logits.update(
        source='neck.gap'),
     'StochasticTeacherOutputs.source: "neck.gap" of teacher "resnet20" is '),
])
def test_what_does_not_fit_is_said_before_any_training(guided_cfg, change,
                                                       message):
    cfg = guided_cfg(1)
    change(cfg)
    with pytest.raises(ConfigError, match='^' + re.escape(message)) as info:
        ChainRunner(cfg).plan()
    assert '\n' not in str(info.value)
