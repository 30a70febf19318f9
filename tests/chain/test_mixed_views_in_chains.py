# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MixUp and CutMix of a chain are part of its views."""
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.plan import mix_line
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.datasets.splits import fold_of
from mmdgkd.models.teachers.teacher_folds import TeacherFolds
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.structures.views import views_of

MIXUP = dict(type='Mixup', alpha=.8)
AUGMENTS = [MIXUP, dict(type='CutMix', alpha=1.)]
MIX = dict(augments=AUGMENTS, probs=[.5, .4])
NETWORKS = ('resnet20', 'resnet14', 'resnet8')


@pytest.fixture
def make(tiny_cfg):
    """A function that gives a chain of three ResNet-8 that mix."""

    def make(work_dir='work', mix=MIX, store=dict(dtype='float32'), epochs=1):
        cfg = tiny_cfg(epochs, work_dir=work_dir)
        cfg.chain.logit_store = copy.deepcopy(store)
        if mix is not None:
            cfg.data_preprocessor.batch_augments = copy.deepcopy(mix)
        for network in cfg.chain.networks.values():
            network.model.backbone.depth = 8
        return cfg

    return make


@pytest.fixture
def after(tiny_cfg, trained):
    """A function that gives a last stage that mixes, after trained ones."""

    def make(work_dir, **store):
        cfg = tiny_cfg(2, work_dir=work_dir)
        cfg.chain.logit_store = dict(dtype='float32', **store)
        cfg.data_preprocessor.batch_augments = copy.deepcopy(MIX)
        for name in NETWORKS[:2]:
            cfg.chain.networks[name].ckpt_path = str(
                Path(trained[0].work_dir) / name / f'{name}.pth')
        return cfg

    return make


def stage_of(cfg, name='resnet8'):
    return stage_config(cfg, Chain.from_cfg(cfg.chain), name, {}, 'work')


def weights(cfg, name='resnet8'):
    path = Path(cfg.work_dir) / name / f'{name}.pth'
    return torch.load(path, weights_only=True)['state_dict']


def equal(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def counts(cfg, teacher='resnet20'):
    count = ChainRunner(cfg).work.ledger['resnet8']['store'][teacher]
    return count['recalled'], count['computed']


def test_cached_equals_live(make):
    """Bit for bit in float32, also one image after the other."""
    live, stored = make('live', store=None), make('stored')
    for key in ('train_dataloader', 'val_dataloader'):
        stored[key].dataset.type = 'Digits'
        stored[key].collate_fn.type = 'default_collate'
    ChainRunner(live).train(), ChainRunner(stored).train()
    for name in NETWORKS:
        assert equal(weights(live, name), weights(stored, name))
    # What one stage has computed, the next finds.
    assert counts(stored) == (64, 0)


def with_folds(cfg):
    cfg.chain.folds = 2
    cfg.model.distiller.distill_losses.loss_kd.update(
        form='averaged', unseen_weight=.8)
    return cfg


def test_a_mixed_image_of_which_a_teacher_has_seen_no_part(make, monkeypatch):
    """The same of whole batches as of one image after the other."""
    found, alone, unseen = [], [], TeacherFolds.unseen

    def noted(self, data_samples, here):
        each = unseen(self, data_samples, here)
        found.append(each['resnet20'].numpy())
        alone.append(fold_of(views_of(data_samples).indices, 2) == 0)
        return each

    monkeypatch.setattr(TeacherFolds, 'unseen', noted)
    batched, single = (with_folds(make(name)) for name in ('batched', 'one'))
    for key in ('train_dataloader', 'val_dataloader'):
        single[key].dataset.type = 'Digits'
        single[key].collate_fn.type = 'default_collate'
    ChainRunner(batched).train(), ChainRunner(single).train()
    half = len(found) // 2
    assert all(map(np.array_equal, found[:half], found[half:]))
    assert equal(weights(batched), weights(single))
    # Of the images that it has not seen it has seen about half of the partners
    # of those that are mixed.
    rows, own = (
        np.concatenate(each[half - 2:half]) for each in (found, alone))
    assert not (rows & ~own).any() and rows.sum() < .8 * own.sum()


def test_partners_that_are_not_known_are_refused(make, refused):
    cfg = with_folds(make(store=None))
    cfg.custom_hooks = [
        dict(
            type='SwitchRecipeHook',
            schedule=[dict(action_epoch=2, batch_augments=None)])
    ]
    refused(
        cfg, 'loss_kd.unseen_weight: needs to know which images '
        'are mixed, but data_preprocessor.batch_augments mixes')


def test_resumed_in_an_epoch(after, tmp_path):
    store = dict(store_dir=str(tmp_path / 'store'))
    first, resumed = (after(name, **store) for name in ('first', 'resumed'))
    ChainRunner(first).train()
    assert counts(first) == (0, 128)
    resumed.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    once = f'{resumed.work_dir}.killed'
    resumed.custom_hooks = [
        dict(type='KillOnce', network='resnet8', iteration=3, once=once)
    ]
    with pytest.raises(KeyboardInterrupt):
        ChainRunner(resumed).train()
    resumed.resume = True
    ChainRunner(resumed).train()
    assert counts(resumed)[1] == 0
    assert equal(weights(first), weights(resumed))


def test_augments_are_taken_over_into_the_views(make):
    """Wherever MMPretrain has them, and as it prefers one of them."""
    wanted = dict(MIX, num_classes=10)
    first, other = make(), make(mix=None)
    own = make(mix=dict(augments=[dict(MIXUP, alpha=.1)]))
    for cfg in (other, own):
        cfg.chain.networks.resnet8.model.train_cfg = copy.deepcopy(MIX)
    for cfg in (first, other):
        stage = stage_of(cfg)
        assert stage.train_dataloader.dataset.mix == wanted
        network = network_cfg(stage.model)
        assert 'train_cfg' not in network
        assert 'batch_augments' not in network.data_preprocessor
        # What is distilled from a network depends on its weights alone.
        assert 'mix' not in str(stage.model)
    assert 'mix' not in stage_of(other, 'resnet14').train_dataloader.dataset
    stage = stage_of(own)
    assert stage.train_dataloader.dataset.mix.augments[0].alpha == .1
    # Nor does MMPretrain mix them again, by what was hidden.
    assert 'augments' not in str(network_cfg(stage.model))
    # A wrapper of timm's prefers that of the network.
    own.chain.networks.resnet8.model.type = 'TimmClassifier'
    stage = stage_of(own)
    assert stage.train_dataloader.dataset.mix.augments[0].alpha == .8
    assert 'augments' not in str(network_cfg(stage.model))


def test_what_stays_with_mmpretrain(make, monkeypatch):
    """Without views; an augmentation of one's own; one that is switched."""
    switch = dict(
        type='SwitchRecipeHook',
        schedule=[dict(action_epoch=2, batch_augments=None)])
    cfgs = [make(store=None) for _ in range(3)]
    cfgs[0].chain.views = None
    cfgs[1].custom_hooks = [switch]
    cfgs[2].data_preprocessor.batch_augments.augments = [Halves(), MIXUP]
    for cfg in cfgs:
        stage = stage_of(cfg)
        assert 'mix' not in str(stage.train_dataloader)
        assert network_cfg(stage.model).data_preprocessor.batch_augments
    for cfg, message in zip(cfgs[1:], ('SwitchRecipeHook switches', 'none of '
                                       'Mixup, CutMix and ResizeMix')):
        cfg.chain.logit_store = {}
        with pytest.raises(ConfigError, match=f'{message}.*logit_store=None'):
            stage_of(cfg)


class Halves:
    """An augmentation of one's own."""

    def __call__(self, inputs, scores):
        return inputs / 2, scores


@pytest.mark.parametrize('change, message', [
    ({
        'data_preprocessor.batch_augments': dict(augments=dict(type='Mixup'))
    }, 'data_preprocessor.batch_augments.augments: Mixup.alpha: None'),
    ({
        'data_preprocessor.batch_augments': dict(augments=MIXUP, num=3)
    }, 'data_preprocessor.batch_augments.num: is unknown'),
    ({
        'data_preprocessor.batch_augments': ...,
        'chain.networks.resnet8.model.train_cfg': dict(
            augments=MIXUP, probs=[2.])
    }, r'resnet8.model.train_cfg.probs: \[2.0\] must be 1 probabilities'),
    ({
        'train_dataloader.dataset':
        dict(type='ViewDataset', mix=MIX, dataset=dict(type='Digits'))
    }, 'train_dataloader.dataset.mix: is given beside data_preprocessor.batc'),
])
def test_bad_input(make, change, message):
    cfg = make(mix=None)
    for key, value in dict({
            'data_preprocessor.batch_augments': MIX
    }, **change).items():
        node, last = cfg, key.split('.')[-1]
        for part in key.split('.')[:-1]:
            node = node[part]
        if value is not ...:
            node[last] = copy.deepcopy(value)
    with pytest.raises(ConfigError, match=message) as error:
        stage_of(cfg)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('objective, message', [
    ('dkd',
     'loss_dkd_resnet20.gt_labels: are scores of shape .* one class an image'),
    ('crd', 'loss_crd_resnet20.data_samples: needs one class an image'),
])
def test_losses_of_one_class_an_image(refused, make, root, objective, message):
    if objective == 'dkd':
        cfg = make()
        file = root / 'configs/_base_/distillers/dkd.py'
        cfg.model = Config.fromfile(str(file)).model
    else:
        cfg = Config.fromfile(
            str(root / 'configs/crd/resnet20_to_resnet8_digits.py'))
        cfg.work_dir = make().work_dir
        cfg.data_preprocessor.batch_augments = copy.deepcopy(MIX)
    refused(cfg, message)


def test_the_plan_tells_of_different_mixes(make):
    cfg = make()
    cfg.chain.networks.resnet8.stage = dict(
        data_preprocessor=dict(
            batch_augments=dict(_delete_=True, augments=MIXUP)))

    def line():
        chain = Chain.from_cfg(cfg.chain)
        return mix_line(chain,
                        {name: stage_of(cfg, name)
                         for name in NETWORKS})

    assert '"resnet14" and "resnet8" mix their images differently' in line()
    cfg.chain.logit_store = None
    assert line() == ''
    assert mix_line(
        Chain.from_cfg(make().chain),
        {name: stage_of(make(), name)
         for name in NETWORKS}) == ''
