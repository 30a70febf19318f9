# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that teach themselves by other precisions."""
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.methods.low_bit.method import check_few_bits

NAME = 'resnet8_w2a2'


@pytest.fixture
def speq_cfg(tiny_cfg, root):
    """A function that gives a ResNet-8 and the one of which it is a teacher."""

    def make(epochs=2, **kwargs):
        cfg = tiny_cfg(
            epochs, root / 'configs/speq/w2a2_resnet20_to_resnet8_digits.py',
            **kwargs)
        cfg.chain.networks.resnet20 = cfg.chain.networks.resnet14 = None
        return cfg

    return make


def test_resumed_it_ends_with_the_same_bits(speq_cfg, killed_and_whole):
    """Guided, from the middle of an epoch; the precisions are as they were."""
    whole, torn = (speq_cfg(work_dir=name) for name in ('whole', 'torn'))
    for cfg in (whole, torn):
        cfg.default_hooks.checkpoint = dict(
            type='CheckpointHook', by_epoch=False, interval=3)
    one, other = killed_and_whole(whole, torn, NAME, 3)
    assert all(torch.equal(data, other[name]) for name, data in one.items())
    # It says in its log what it hears of itself.
    logs = [
        open(os.path.join(folder, file)).read()
        for folder, _, files in os.walk(f'{whole.work_dir}/{NAME}')
        for file in files if file.endswith('.log')
    ]
    assert any('student.loss_speq: ' in text for text in logs)


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
def test_what_it_hears_of_itself_must_weigh_something(speq_cfg, model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        speq = MODELS.build(speq_cfg().chain.networks[NAME].model)
    with pytest.raises(
            ConfigError,
            match=f'chain.networks.{NAME}.model.type: the loss of SPEQ'):
        check_few_bits(NAME, Config(dict(model=model)), speq)
