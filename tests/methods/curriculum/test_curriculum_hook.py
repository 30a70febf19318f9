# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import glob
import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.curriculum.curriculum_hook import (CurriculumHook,
                                                       curriculum_weights)

CONFIG = 'curriculum/resnet20_to_resnet8_digits.py'


@pytest.fixture
def make(digits_cfg, tmp_path):
    """A function that gives the shipped chain, all of ResNet-8."""

    def make(work_dir='work', **kwargs):
        cfg = digits_cfg(CONFIG, **kwargs)
        for network in cfg.chain.networks.values():
            network.model.backbone.depth = 8
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.default_hooks.logger.interval = 1
        # One value a line, not their mean.
        cfg.log_processor = dict(window_size=1)
        return cfg

    return make


@pytest.mark.parametrize('progress, centre', [(0, 0), (.25, .5), (.5, 1),
                                              (1, 2)])
def test_a_gaussian_over_the_ranks(progress, centre):
    parts = [math.exp(-(rank - centre)**2 / (2 * .7**2)) for rank in range(3)]
    wanted = [part / sum(parts) for part in parts]
    assert curriculum_weights(3, progress, .7) == pytest.approx(wanted)


def test_a_narrow_one_is_the_nearest_alone():
    assert curriculum_weights(3, .2, 1e-3) == [1, 0, 0]
    assert curriculum_weights(3, .2, 1e-100) == [1, 0, 0]
    assert curriculum_weights(1, .2, .7) == [1]


def logged(cfg, teacher):
    log, = glob.glob(f'{cfg.work_dir}/resnet8/2*/*.log')
    return [
        float(found)
        for found in re.findall(rf'curriculum\.{teacher}: ([\d.]+)',
                                Path(log).read_text())
    ]


def test_from_the_smallest_teacher_to_the_largest(make):
    """Four iterations of two teachers: the centre is at 0, 1/3, 2/3 and 1."""
    cfg = make(epochs=2)
    ChainRunner(cfg).train()
    near, far = (math.exp(-(rank / 3)**2 / (2 * .7**2)) for rank in (1, 2))
    first = 1 / (1 + math.exp(-1 / (2 * .7**2)))
    second = near / (near + far)
    small = [first, second, 1 - second, 1 - first]
    assert logged(cfg, 'resnet14') == pytest.approx(small, abs=1e-3)
    assert logged(cfg, 'resnet20') == pytest.approx(small[::-1], abs=1e-3)
    stage = Config.fromfile(f'{cfg.work_dir}/resnet8/config.py')
    hook, = (hook for hook in stage.custom_hooks if 'Curric' in hook.type)
    assert hook.teachers == ['resnet20', 'resnet14']


def test_a_resumed_training_goes_on_with_it(make, killed_and_whole):
    """Killed in the middle of the first epoch of the student."""
    whole, torn = make('whole', epochs=2), make('torn', epochs=2)
    for cfg in (whole, torn):
        cfg.default_hooks.checkpoint.update(interval=1, by_epoch=False)
    one, other = killed_and_whole(whole, torn, 'resnet8', 1)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_multiplies_the_weights_of_the_loss(make, weights_of):
    """With the hook and without are other trainings."""
    on, off = make('on'), make('off')
    off.chain.networks.resnet8.stage.custom_hooks.pop()
    for cfg in (on, off):
        cfg.randomness = dict(seed=0)
        ChainRunner(cfg).train()
    same = [
        torch.equal(a, b) for a, b in zip(
            weights_of(on, 'resnet8').values(),
            weights_of(off, 'resnet8').values())
    ]
    assert not all(same)
    assert all(
        torch.equal(a, b) for a, b in zip(
            weights_of(on, 'resnet14').values(),
            weights_of(off, 'resnet14').values()))


def test_with_one_teacher_it_does_nothing(make):
    cfg = make()
    cfg.chain.guidance = 'direct'
    cfg.model.distiller.distill_losses.loss_kd.form = 'released'
    ChainRunner(cfg).train()
    assert not logged(cfg, 'resnet20')


def test_an_ensemble_is_one_teacher(make):
    cfg = make()
    cfg.model.distiller.ensembles = dict(both=['resnet20', 'resnet14'])
    ChainRunner(cfg).train()
    assert set(logged(cfg, 'both')) == {1}


def test_other_forms_are_refused(make, refused):
    cfg = make()
    cfg.model.distiller.distill_losses.loss_kd.form = 'released'
    refused(cfg, "CurriculumHook: needs mmrazor.DenseKDLoss with form='averag")


def test_other_teachers_are_refused(make, refused):
    cfg = make()
    cfg.chain.networks.resnet8.stage.custom_hooks[-1].teachers = ['resnet20']
    refused(cfg, 'CurriculumHook.teachers: .* must list all teachers of the')


@pytest.mark.parametrize('sigma', [0, -1, '1', True, 1e-200, float('nan')])
def test_mistakes_are_refused(sigma):
    with pytest.raises(ConfigError, match='CurriculumHook.sigma: .* above 0'):
        CurriculumHook(sigma=sigma)
