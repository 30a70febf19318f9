# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that teach themselves by other precisions."""

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.methods.low_bit.method import check_few_bits

NAME = 'resnet8_w2a2'


@pytest.fixture
def speq_cfg(trial_cfg):
    """A function that gives a ResNet-8 that teaches itself."""
    return lambda: trial_cfg('speq')


def test_deliveries_are_for_one_forward(speq_cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(speq_cfg().chain.networks[NAME].model)
    stage = Config(dict(model=dict(distiller=dict(distill_deliveries={1: 1}))))
    with pytest.raises(
            ConfigError,
            match='model.distiller.distill_deliveries: '
            f'chain.networks.{NAME} runs twice in a step'):
        check_few_bits(NAME, stage, model)


@pytest.mark.parametrize('model', [
    dict(type='mmrazor.DGKD', task_loss_weight=0),
    dict(type='mmrazor.DenseDAFL')
])
def test_its_self_distillation_needs_a_weight(speq_cfg, model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        speq = MODELS.build(speq_cfg().chain.networks[NAME].model)
    with pytest.raises(
            ConfigError,
            match=f'chain.networks.{NAME}.model.type: the loss of SPEQ'):
        check_few_bits(NAME, Config(dict(model=model)), speq)
