# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Frozen stages of a distilled network stay as they were."""
import pytest
import torch

from mmdgkd.chain.runner import ChainRunner

FROZEN = ('backbone.conv1', 'backbone.bn1', 'backbone.layer1')


def frozen_student(cfg, path):
    """A student that begins from a file, a part of which is frozen."""
    cfg.chain.order = None
    cfg.chain.networks = dict(
        start=dict(model='resnet8', ckpt_path=path),
        student=dict(
            model=dict(name='resnet8', backbone=dict(frozen_stages=1)),
            init_from='start'))
    return cfg


def assert_frozen(found, path):
    start = torch.load(path, weights_only=True)['state_dict']
    for name, data in start.items():
        if data.is_floating_point():
            same = torch.equal(found[name], data)
            assert same == name.startswith(FROZEN), name


def test_weights_and_statistics_stay(tiny_cfg, trained_resnet8, weights_of):
    cfg = frozen_student(tiny_cfg(), trained_resnet8)
    ChainRunner(cfg).train()
    assert_frozen(weights_of(cfg, 'student'), trained_resnet8)


@pytest.mark.slow
def test_they_stay_on_all_ranks(tiny_cfg, trained_resnet8, states_of_ranks):
    cfg = frozen_student(tiny_cfg(), trained_resnet8)
    for state in states_of_ranks(cfg, 'student', amp=False):
        student = {
            name.removeprefix('architecture.'): data
            for name, data in state.items()
        }
        assert_frozen(student, trained_resnet8)
