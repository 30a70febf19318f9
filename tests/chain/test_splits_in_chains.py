# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A chain holds images out, and its networks leave folds out."""
import copy
import glob
import json
import os.path as osp
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.splits import folds_of_teachers, held_out_loader, split_line
from mmdgkd.datasets.splits import fold_of, held_out
from mmdgkd.logit_store.piece import parse_name
from mmdgkd.report.records import read_runs
from mmdgkd.report.settings import add_settings

NETWORKS = ('resnet20', 'resnet14', 'resnet8')
SEEN = {}


@HOOKS.register_module()
class NoteIndices(Hook):
    """Notes which images are trained on, and validated."""

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self._note(runner, 'train', data_batch)

    def after_val_iter(self, runner, batch_idx, data_batch, outputs):
        self._note(runner, 'val', data_batch)

    def _note(self, runner, key, data_batch):
        indices = data_batch['data_samples'][0].indices.tolist()
        SEEN.setdefault((runner.cfg.experiment_name, key),
                        set()).update(indices)


@pytest.fixture
def make(tiny_cfg):
    """A function that gives a chain of three ResNet-8 with a split."""

    def make(work_dir='work', holdout=16, folds=2, **chain):
        cfg = tiny_cfg(work_dir=work_dir)
        for network in cfg.chain.networks.values():
            network.model.backbone.depth = 8
        cfg.chain.update(holdout=holdout, folds=folds, **chain)
        cfg.custom_hooks = [dict(type='NoteIndices')]
        SEEN.clear()
        return cfg

    return make


def weights_of(runner, name):
    return torch.load(runner.work.file_of(name))['state_dict']


def test_no_network_is_trained_on_what_is_left_out(make):
    runner = ChainRunner(make())
    runner.train()
    out = set(held_out(64, 16))
    folds = fold_of(np.arange(64), 2)
    for name, fold in (('resnet20', 0), ('resnet14', 1), ('resnet8', None)):
        expected = {i for i in range(64) if i not in out and folds[i] != fold}
        assert SEEN[name, 'train'] == expected
        assert SEEN[name, 'val'] == out
        meta = torch.load(runner.work.file_of(name))['meta']
        assert len(meta['split'].pop('images')) == 64
        assert meta['split'] == dict(
            holdout=16, seed=0, of=64, folds=2, fold=fold, folds_seed=0)
        entry = runner.work.ledger[name]['split']
        assert {**entry, **meta['split']} == entry
    with open(runner.work.ledger.path) as file:
        ledger = json.load(file)
    assert ledger['holdout'] == dict(size=16, seed=0, validate=True)
    assert ledger['folds'] == dict(num=2, seed=0)
    plan = runner.plan()
    assert ('holdout: 16 training images (seed 0) are in no training, and '
            'validate the stages') in plan
    assert ('folds: of 2 (seed 0) each network leaves one out: resnet20 0, '
            'resnet14 1') in plan
    # A report says what its metric is of.
    run, = read_runs([runner.work.path])
    add_settings(run)
    assert run.settings['holdout'].endswith('and validate the stages')
    assert run.settings['folds'].startswith('of 2 (seed 0) each network leav')
    # Teachers of all folds share the views of one store: on the images of the
    # last network, none is computed twice.
    store = runner.work.ledger['resnet8']['store']
    assert store['resnet20'] == dict(store['resnet20'], computed=48)
    # The config of a work dir is the same chain.
    cfg = Config.fromfile(osp.join(runner.work.path, 'config.py'))
    assert Chain.from_cfg(cfg.chain) == Chain.from_cfg(runner.cfg.chain)


def test_the_test_images_stay_those_of_the_config(make):
    runner = ChainRunner(make(folds=None))
    runner.train()
    seen = runner.test('resnet8')['resnet8']
    alone = Config.fromfile(
        osp.join(runner.work.path, 'resnet8', 'resnet8.py'))
    assert alone.test_dataloader.dataset.split == 'test'
    assert seen['accuracy/top1'] >= 0


def test_a_holdout_need_not_validate(make):
    runner = ChainRunner(
        make(holdout=dict(size=16, validate=False), folds=None))
    runner.train()
    assert SEEN['resnet8', 'val'] == set(range(64))
    assert not SEEN['resnet8', 'train'] & set(held_out(64, 16))


def test_a_split_of_before_is_forgotten(make):
    """With its folder, or in favour of a file that is given."""
    cfg = make(folds=None, guidance={'resnet14': ['resnet20']})
    networks = cfg.chain.networks
    cfg.chain.networks = {
        'resnet20': dict(networks.resnet20, snapshots=[0.5]),
        'resnet14': networks.resnet14
    }
    cfg.train_cfg.max_epochs = 2
    ChainRunner(cfg).train()
    cfg.chain.holdout, cfg.resume = None, True
    for name in ('resnet20', 'resnet20_50', 'resnet14'):
        shutil.rmtree(osp.join(cfg.work_dir, name))
    runner = ChainRunner(cfg)
    assert runner.plan().count(' pending |') == 3
    runner.train()
    for name in runner.chain.names:
        assert 'split' not in torch.load(runner.work.file_of(name))['meta']
        assert 'split' not in runner.work.ledger[name]
    given = make(work_dir='given', folds=None)
    ChainRunner(given).train()
    given.chain.networks.resnet20.ckpt_path = runner.work.file_of('resnet20')
    given.chain.holdout, given.resume = None, True
    for name in ('resnet14', 'resnet8'):
        shutil.rmtree(osp.join(given.work_dir, name))
    entry = ChainRunner(given).train()['resnet20']
    assert entry['state'] == 'given' and entry['wrote']
    assert not {'split', 'metric', 'read', 'config_sha256'} & entry.keys()


def test_too_few_images_are_left_for_a_batch(make, refused):
    cfg = make()
    cfg.train_dataloader.update(batch_size=48, drop_last=True)
    refused(cfg, 'drop_last leaves out the only one, of 28 images')


def test_folds_may_be_chosen(make):
    cfg = make(folds=dict(num=4, seed=3))
    cfg.chain.networks.resnet20.fold = None
    cfg.chain.networks.resnet14.fold = 0
    cfg.chain.networks.resnet8.fold = 3
    chain = Chain.from_cfg(cfg.chain)
    assert [chain.fold_of(name) for name in NETWORKS] == [None, 0, 3]
    ChainRunner(cfg).train()
    folds = fold_of(np.arange(64), 4, 3)
    assert {folds[i] for i in SEEN['resnet8', 'train']} == {0, 1, 2}


def test_a_given_network_has_not_seen_the_holdout(make, refused):
    cfg = make()
    runner = ChainRunner(cfg)
    runner.train()
    path = runner.work.file_of('resnet20')

    def student(**chain):
        other = make(work_dir='student', **chain)
        other.chain.networks.resnet20.ckpt_path = path
        other.chain.networks.resnet14 = None
        return other

    key = 'chain.networks.resnet20.ckpt_path'
    refused(
        student(holdout=8),
        f'{key}: was trained with 16 images of seed 0 held out, but '
        'chain.holdout is 8 images of seed 0 held out')
    other = student()
    other.chain.networks.resnet20.fold = 1
    refused(
        other, f'{key}: was trained with fold 0 of 2 .seed 0. left out, not '
        'fold 1 of 2 .seed 0. left out, as chain.folds has it; set '
        'chain.networks.resnet20.fold=0')
    # With its own fold, and the control: in a chain without folds.
    ChainRunner(student()).train()
    control = student(folds=None)
    control.work_dir += '_control'
    ChainRunner(control).train()


def test_given_networks_of_other_images_or_folds(make, refused):
    cfg = make()
    runner = ChainRunner(cfg)
    runner.train()

    def student(name, indices=64, **chain):
        other = make(work_dir='student', **chain)
        other.train_dataloader.dataset.indices = indices
        other.chain.networks.resnet20.ckpt_path = runner.work.file_of(name)
        other.chain.networks.resnet14 = None
        return other

    # The same seed and number, of other images.
    refused(
        student('resnet20', 60, folds=None),
        'chain.networks.resnet20.ckpt_path: is of a training on 64 images, but'
        ' "resnet8" has 60; chain.holdout')
    # As many, but others.
    other = student('resnet20', folds=None)
    other.train_dataloader.dataset.indices = range(1, 65)
    refused(
        other, 'chain.networks.resnet20.ckpt_path: is of a training on other '
        'images than "resnet8" has, or in another order; chain.holdout')
    # Of other folds; that it has seen all is never too much to say.
    other = student('resnet14', folds=4)
    refused(other, 'set chain.networks.resnet20.fold=None')
    other.chain.networks.resnet20.fold = None
    ChainRunner(other).train()


@pytest.mark.parametrize('split', [dict(folds=None), dict(holdout=None)])
@pytest.mark.parametrize('name', ['resnet14', 'resnet8'])
@pytest.mark.parametrize('indices, what', [
    (50, '50 images, but "resnet20" has 64'),
    (range(1, 65), 'other images than "resnet20" has'),
    (range(63, -1, -1), 'other images than "resnet20" has'),
])
def test_stages_of_other_images(make, refused, split, name, indices, what):
    """Also that of the last network, which leaves no fold out."""
    cfg = make(**split)
    cfg.chain.networks[name].stage = dict(
        train_dataloader=dict(dataset=dict(indices=indices)))
    refused(
        cfg, f'chain.networks.{name}.stage.train_dataloader: is of a training '
        f'on {what}')


def test_a_student_whose_data_repeats_images(make, refused):
    cfg = make(holdout=None)
    cfg.custom_hooks = []
    data = copy.deepcopy(cfg.train_dataloader.dataset)
    cfg.chain.networks.resnet8.stage = dict(
        train_dataloader=dict(
            dataset=dict(
                _delete_=True, type='RepeatDataset', times=2, dataset=data)))
    refused(cfg, 'chain.folds: an image is known by its index, but the data')
    # What is held out is known by image.
    cfg.chain.update(holdout=16, folds=None)
    ChainRunner(cfg).plan()


@pytest.mark.parametrize('save_as', ['pth', 'safetensors'])
def test_weights_to_begin_from_have_not_seen_the_holdout(
        make, refused, save_as):
    runner = ChainRunner(make(holdout=8, folds=None, save_as=save_as))
    runner.train()
    path = runner.work.file_of('resnet20')
    cfg = make(work_dir='other')
    cfg.chain.networks.resnet20.model.init_cfg = dict(
        type='Pretrained', checkpoint=path)
    message = (': was trained with 8 images of seed 0 held out, but '
               'chain.holdout is 16 images of seed 0 held out')
    refused(cfg, f'resnet20.model.init_cfg{message}')
    # Without a holdout, what has seen all folds.
    cfg = make(work_dir='other', holdout=None)
    cfg.chain.networks.resnet20.model.init_cfg = dict(
        type='Pretrained', checkpoint=path)
    refused(
        cfg, 'resnet20.model.init_cfg: was trained with all folds, but '
        '"resnet20" is trained with fold 0 of 2')
    cfg = make(work_dir='other')
    cfg.chain.networks.resnet20.ckpt_path = path
    refused(cfg, f'resnet20.ckpt_path{message}')


def test_places_of_folds(make):
    """Parts have those of their network, and what begins from it, too."""
    cfg = make(folds=2)
    networks = cfg.chain.networks
    networks.resnet20.snapshots = [.5]
    chain = Chain.from_cfg(cfg.chain)
    assert {
        name: chain.fold_of(name)
        for name in chain.names
    } == dict(
        resnet20=0, resnet20_50=0, resnet14=1, resnet8=None)
    assert 'warning' not in split_line(chain)
    networks.resnet14.init_from = 'resnet20'
    chain = Chain.from_cfg(cfg.chain)
    assert chain.fold_of('resnet14') == 0
    assert ('warning: every network has seen the images of fold 1; chain.folds'
            ' should be the number of networks that leave one out'
            ) in split_line(chain)
    networks.resnet14.fold = 1
    with pytest.raises(
            ConfigError,
            match='resnet14.fold: 1 is not that of "resnet20", from which it '
            'begins and which has seen it; leave it out, or set 0'):
        Chain.from_cfg(cfg.chain)


def test_teachers_of_a_stage_and_their_folds(make):
    chain = Chain.from_cfg(make(folds=dict(num=2, seed=5)).chain)
    assert folds_of_teachers(chain, 'resnet8') == dict(
        num=2, seed=5, left_out=dict(resnet20=0, resnet14=1))
    cfg = make()
    for name in ('resnet20', 'resnet14'):
        cfg.chain.networks[name].fold = None
    chain = Chain.from_cfg(cfg.chain)
    assert folds_of_teachers(chain, 'resnet8') == dict(
        num=2, seed=0, left_out={})
    assert folds_of_teachers(
        Chain.from_cfg(make(folds=None).chain), 'resnet8') is None


def test_a_given_network_that_tells_nothing(make, refused, tmp_path):
    runner = ChainRunner(make(holdout=None, folds=None))
    runner.train()
    path = str(tmp_path / 'foreign.pth')
    torch.save(weights_of(runner, 'resnet20'), path)
    cfg = make(work_dir='student')
    cfg.chain.networks.resnet20.ckpt_path = path
    refused(
        cfg, 'chain.networks.resnet20.ckpt_path: does not say which fold of '
        'chain.folds it was trained without; set '
        'chain.networks.resnet20.fold=None')
    cfg = make(work_dir='student')
    cfg.chain.networks.resnet20.update(ckpt_path=path, fold=None)
    ChainRunner(cfg).train()


@pytest.mark.parametrize('chain, message', [
    (dict(holdout=0), r'chain.holdout: 0 must be an integer, 1 or more'),
    (dict(holdout='5'), r"chain.holdout: '5' must be an integer"),
    (dict(holdout=dict(size=4, part=1)), r'chain.holdout.part: is unknown'),
    (dict(holdout=dict(size=4, seed=-1)),
     r'chain.holdout.seed: -1 must be an integer, 0 or more'),
    (dict(holdout=dict(size=4, validate=1)),
     r'chain.holdout.validate: 1 must be True or False'),
    (dict(holdout=dict(seed=1)), r'chain.holdout.size: is missing; must be'),
    (dict(holdout=64), r'chain.holdout: 64 of 64 training images leaves none'),
    (dict(folds=1), r'chain.folds: 1 must be an integer, 2 or more'),
    (dict(folds=dict(num=2, weight=1)), r'chain.folds.weight: is unknown'),
    (dict(views=None), r'chain.holdout: leaves out views of training images'),
])
def test_bad_splits(make, refused, chain, message):
    if 'views' in chain:
        chain = dict(chain, logit_store=None)
    refused(make(**chain), message)


@pytest.mark.parametrize('fold, folds, message', [
    (2, 2, r'networks.resnet14.fold: 2 must be from 0 to 1'),
    (0, None, r'networks.resnet14.fold: is given, but there are no folds'),
    ('all', 2, r"networks.resnet14.fold: 'all' must be the number of a fold"),
])
def test_bad_folds(make, refused, fold, folds, message):
    cfg = make(folds=folds)
    cfg.chain.networks.resnet14.fold = fold
    refused(cfg, message)


def test_the_pipeline_of_the_holdout_is_that_of_the_validation():
    train = dict(
        type='ConcatDataset',
        datasets=[
            dict(type='A', pipeline=['crop']),
            dict(type='B', pipeline=['crop'])
        ])
    cfg = dict(
        train_dataloader=dict(
            batch_size=2, dataset=dict(type='ViewDataset', dataset=train)),
        val_dataloader=dict(
            batch_size=5,
            dataset=dict(type='Wrapper', dataset=dict(pipeline=['resize']))))
    chain = Chain.from_cfg(
        dict(networks=dict(a=dict(model=dict(type='X'))), holdout=3))
    loader = held_out_loader(cfg, chain)
    assert loader == dict(
        batch_size=5,
        dataset=dict(
            type='mmpretrain.HeldOut',
            holdout=3,
            seed=0,
            dataset=dict(
                type='ConcatDataset',
                datasets=[
                    dict(type='A', pipeline=['resize']),
                    dict(type='B', pipeline=['resize'])
                ])))
    chain = Chain.from_cfg(
        dict(
            networks=dict(a=dict(model=dict(type='X'))),
            holdout=3,
            views=dict(skip_unreadable=True)))
    assert held_out_loader(cfg, chain)['dataset']['skip_unreadable']
    # Nothing of the config was changed.
    assert train['datasets'][0]['pipeline'] == ['crop']


@pytest.mark.parametrize('folds', [None, 2])
@pytest.mark.parametrize('mix', [False, True])
def test_the_planned_store_is_that_on_the_disk(make, folds, mix):
    """It has rows for all images; mixed ones are those of a fold."""
    cfg = make(folds=folds)
    if mix:
        cfg.data_preprocessor.batch_augments = dict(
            augments=[dict(type='Mixup', alpha=0.2)])
    runner = ChainRunner(cfg)
    runner.plan()
    planned = runner.store_size.at().sizes
    runner.train()
    found = {name: 0 for name in planned}
    rows, files = dict(found), dict(found)
    for path in glob.glob(osp.join(runner.work.path, 'logits', '*', '*')):
        name = osp.basename(osp.dirname(path)).split('-')[0]
        found[name] += osp.getsize(path)
        rows[name] += 20 * parse_name(osp.basename(path)).rows
        files[name] += 1
    for name, size in planned.items():
        # Of a fold's stage the planned size has the rows of all images.
        assert 0 < rows[name] < found[name]
        # There may be two files of a view, each with a header.
        assert found[name] <= size + 2000 * (files[name] - 1)
        assert mix or rows[name] * 2 >= size - 2100
