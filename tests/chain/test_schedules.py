# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Schedules that are longer than their training get a warning."""
import pytest

from mmdgkd.chain.runner import ChainRunner


@pytest.mark.parametrize('schedule, warning', [
    (dict(type='CosineAnnealingLR', T_max=20), 'CosineAnnealingLR needs 20 '
     'epochs, the training has 4'),
    (dict(type='LinearLR', begin=2, end=5), 'LinearLR needs 5 epochs'),
    (dict(type='MultiStepLR', milestones=[2, 5]), 'MultiStepLR needs 5 '),
    (dict(type='LinearLR', by_epoch=False, end=9), 'LinearLR needs 9 iters, '
     'the training has 8'),
    (dict(type='CosineAnnealingLR', T_max=4), ''),
    (dict(type='CosineAnnealingLR', begin=1, T_max=3, end=4), ''),
    (dict(type='MultiStepLR', milestones=[2, 3]), ''),
    (dict(type='LinearLR', by_epoch=False, end=8), ''),
    (dict(type='ConstantLR'), ''),
])
def test_what_does_not_get_to_its_end(tiny_cfg, schedule, warning):
    cfg = tiny_cfg(epochs=4)
    cfg.param_scheduler = [schedule]
    plan = ChainRunner(cfg).plan()
    assert ('warning: param_scheduler: ' in plan) == bool(warning)
    assert warning in plan
    assert not warning or '(resnet20, resnet14, resnet8)' in plan


@pytest.mark.parametrize('change, warning', [
    ({
        'train_cfg.val_interval': 5
    }, 'train_cfg.val_interval: 5 is after the end of the training, 4, so that'
     ' nothing is validated (resnet20, resnet14, resnet8)'),
    ({
        'train_cfg.val_begin': 5
    }, 'train_cfg.val_begin: 5 is after the end'),
    ({
        'val_dataloader.dataset.split': 'train'
    }, 'val_dataloader.dataset: is that of the training, so that the metric'),
    ({
        'train_cfg.val_interval': 4
    }, ''),
])
def test_a_validation_that_says_nothing(tiny_cfg, change, warning):
    cfg = tiny_cfg(epochs=4)
    cfg.param_scheduler = []
    cfg.merge_from_dict(change)
    plan = ChainRunner(cfg).plan()
    assert ('warning: ' in plan) == bool(warning)
    assert warning in plan
