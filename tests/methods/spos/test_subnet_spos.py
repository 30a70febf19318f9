# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError


def build(architecture=None, algorithm=None, **backbone):
    classifier = dict(
        type='ImageClassifier',
        backbone=dict(type='SearchableResNet6n2', depth=14, **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=64))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='mmrazor.SubnetSPOS',
                architecture=architecture or classifier,
                **(algorithm or {})))


def step(model):
    """The blocks that a training step has trained."""
    model.zero_grad()
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    model.train()
    losses = model(torch.rand(3, 3, 8, 8), samples, mode='loss')
    losses['loss'].backward()
    return {
        name.split('._candidates.')[0][-8:]:
        name.split('._candidates.')[1].split('.')[0]
        for name, param in model.named_parameters()
        if '_candidates' in name and param.grad is not None
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build()


CHOSEN = ['skip', 'basic', 'bottleneck2', 'bottleneck4', 'basic', 'skip']


def take(model, names=CHOSEN):
    model.choose(dict(zip(model.candidates, names)))
    return model


def test_the_candidates(model):
    assert list(map(len, model.candidates.values())) == [4, 4, 3, 4, 3, 4]
    assert 'skip' in list(model.candidates.values())[3]
    assert 'skip' not in list(model.candidates.values())[2]


def test_each_step_trains_a_path_drawn_from_numpy(model):
    np.random.seed(0)
    paths = [tuple(sorted(step(model).items())) for _ in range(6)]
    assert len(set(paths)) > 1
    np.random.seed(0)
    assert paths == [tuple(sorted(step(model).items())) for _ in range(6)]
    assert model.chosen is None and model.subnet.tolist() == [-1] * 6


def test_after_a_step_it_predicts_as_before(model):
    """By the first candidates; a path is for its own step alone."""
    first = {name: names[0] for name, names in model.candidates.items()}
    step(model)
    model.eval()
    one = model(torch.ones(1, 3, 8, 8), mode='tensor')
    model.mutator.set_choices(first)
    torch.testing.assert_close(one, model(torch.ones(1, 3, 8, 8)))


def test_the_chosen_subnet_alone_is_trained(model):
    take(model)
    for _ in range(3):
        assert list(step(model).values()) == [
            name for name in CHOSEN if name != 'skip'
        ]


def test_the_subnet_is_part_of_the_state(model):
    take(model).eval()
    images = torch.rand(2, 3, 8, 8)
    other = build()
    other.load_state_dict(model.state_dict())
    assert other.chosen == model.chosen
    assert list(other.chosen.values()) == CHOSEN
    other.eval()
    assert torch.equal(other(images), model(images))
    copied = copy.deepcopy(model)
    assert torch.equal(copied(images), model(images))
    # By name: the order of the candidates may have changed.
    turned = build(bottlenecks=(4, 2))
    turned.load_state_dict(model.state_dict())
    assert turned.chosen == model.chosen
    # And so is that there is none.
    other.load_state_dict(build().state_dict())
    assert other.chosen is None


def test_no_such_candidate(model):
    with pytest.raises(ValueError):
        take(model, ['basic', 'basic', 'skip', 'basic', 'basic', 'basic'])
    assert model.chosen is None


def test_mistakes():
    with pytest.raises(ConfigError, match='has nothing to choose'):
        build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet6n2', depth=8)))
    with pytest.raises(ConfigError, match='model.norm_training: would'):
        build(algorithm=dict(norm_training=True))
    with pytest.raises(ValueError, match='bottlenecks: 3 should be an int'):
        build(bottlenecks=(3, ))
