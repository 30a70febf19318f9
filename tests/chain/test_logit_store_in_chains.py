# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A chain with a logit store has the results of one without."""
import copy
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdgkd.chain.plan import stage_cost
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.object_folder import ObjectFolder
from mmdgkd.models.teachers.frozen_teachers import FrozenTeachers

NETWORKS = ('resnet20', 'resnet14', 'resnet8')


@pytest.fixture
def forwards(monkeypatch):
    """Counts the batches that each teacher is run on."""
    counts = {}
    run = FrozenTeachers.run

    def counted(self, names, *args, **kwargs):
        names = list(names)
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        run(self, names, *args, **kwargs)

    monkeypatch.setattr(FrozenTeachers, 'run', counted)
    return counts


@pytest.fixture
def make(tiny_cfg):
    """A function that gives a chain of three ResNet-8."""

    def make(work_dir='work', store=True, epochs=2, depth=8):
        cfg = tiny_cfg(epochs, work_dir=work_dir)
        cfg.chain.logit_store = store
        for network in cfg.chain.networks.values():
            network.model.backbone.depth = depth or (
                network.model.backbone.depth)
        return cfg

    return make


@pytest.fixture
def after(make, trained, tmp_path):
    """A function that gives a last stage beside a store that is full.

    Its teachers, and a copy of the store, are those of the trained chain.
    """

    def give(work_dir='other', **store):
        folder = tmp_path / f'{work_dir}_logits'
        shutil.copytree(store_of(trained[0]), folder)
        cfg = make(
            work_dir, store=dict(store_dir=str(folder), **store), depth=None)
        for name in NETWORKS[:2]:
            cfg.chain.networks[name].ckpt_path = os.path.join(
                trained[0].work_dir, name, f'{name}.pth')
        return cfg

    return give


def weights(cfg, name='resnet8'):
    path = os.path.join(cfg.work_dir, name, f'{name}.pth')
    return torch.load(path, weights_only=True)['state_dict']


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first)


def history(cfg, name='resnet8'):
    return ChainRunner(cfg).work.ledger[name]['metric']['history']


def store_of(cfg):
    return Path(cfg.work_dir) / 'logits'


@pytest.mark.gpu
def test_bit_for_bit_in_float32(make, forwards):
    live = make('live', store=None)
    ChainRunner(live).train()
    assert forwards == dict(resnet20=8, resnet14=4)
    assert not store_of(live).exists()

    stored = make('stored', store=dict(dtype='float32'))
    ChainRunner(stored).train()
    # The last stage hits all that the one before has looked up.
    assert forwards == dict(resnet20=8 + 4, resnet14=4 + 4)
    for name in NETWORKS:
        assert equal(weights(live, name), weights(stored, name))
        assert history(live, name) == history(stored, name)


@pytest.mark.gpu
def test_bounds_in_float16(after, make, trained):
    """And filling or reading makes no difference at all."""
    live, stored = after('live'), after('stored')
    live.chain.logit_store = None
    for cfg in (live, stored):
        ChainRunner(cfg).train()
    # Where the rows were written, and where they were read.
    assert equal(weights(stored), weights(trained[0]))
    pairs = [(a, b)
             for a, b in zip(weights(live).values(),
                             weights(stored).values())
             if a.is_floating_point()]
    off = sum(float((a - b).square().sum()) for a, b in pairs)**0.5
    size = sum(float(a.square().sum()) for a, _ in pairs)**0.5
    assert 0 < off / size < 0.002


@pytest.mark.parametrize('change', [{
    'randomness': dict(seed=7)
}, {
    'chain.guidance': 'direct'
}, {
    'chain.guidance': 'sequential'
}])
def test_other_seeds_and_guidances_share_a_store(after, forwards, trained,
                                                 change):
    cfg = after()
    cfg.chain.views = dict(seed=0)
    cfg.merge_from_dict(change)
    ChainRunner(cfg).train()
    assert forwards == {}
    assert not equal(weights(cfg), weights(trained[0]))


@pytest.mark.parametrize('change, refilled', [
    ({}, {}),
    ({
        'chain.views': dict(seed=3)
    }, dict(resnet20=4, resnet14=4)),
    ({
        'train_dataloader.dataset.pipeline': [dict(type='PackInputs')]
    }, dict(resnet20=2, resnet14=2)),
    ({
        'data_preprocessor.mean': [70.0] * 3
    }, dict(resnet20=4, resnet14=4)),
    ({
        'model.teacher_options': dict(fold_bn=False)
    }, dict(resnet20=4, resnet14=4)),
    ({
        'train_dataloader.dataset.indices': 32
    }, dict(resnet20=2, resnet14=2)),
])
def test_what_has_changed_is_never_served_old_rows(after, forwards, change,
                                                   refilled):
    other = after()
    other.merge_from_dict(change)
    ChainRunner(other).train()
    assert forwards == refilled


@pytest.mark.parametrize('file_key', ['stat', 'content'])
def test_changed_files_are_never_served_old_rows(make, forwards, tmp_path,
                                                 trained_resnet8, file_key):
    """Images that change under their names, and a copy of the same."""
    for i in range(10):
        (tmp_path / 'images' / str(i)).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f'images/{i}/0.png'), np.full((8, 8, 3), i))

    def train(name):
        forwards.clear()
        cfg = make(name, epochs=1, store=dict(store_dir=str(tmp_path / 'l')))
        cfg.chain.networks.resnet14 = None
        cfg.chain.networks.resnet20.ckpt_path = trained_resnet8
        cfg.chain.views = dict(file_key=file_key)
        cfg.train_dataloader.batch_size = 10
        cfg.train_dataloader.dataset = dict(
            type='CustomDataset',
            data_root=str(tmp_path / 'images'),
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='PackInputs')])
        ChainRunner(cfg).train()
        return dict(forwards)

    assert train('first') == dict(resnet20=1) and train('second') == {}
    path = tmp_path / 'images/3/0.png'
    data = path.read_bytes()
    cv2.imwrite(str(path), np.full((8, 8, 3), 99))
    assert train('third') == dict(resnet20=1)
    path.write_bytes(data)
    wanted = {} if file_key == 'content' else dict(resnet20=1)
    assert train('fourth') == wanted


def test_a_changed_teacher_is_never_served_old_rows(after, forwards, tmp_path):
    other = after()
    resnet20 = other.chain.networks.resnet20
    file = torch.load(resnet20.ckpt_path)
    file['state_dict']['head.fc.bias'][0] += 1
    resnet20.ckpt_path = str(tmp_path / 'changed.pth')
    torch.save(file, resnet20.ckpt_path)
    ChainRunner(other).train()
    assert forwards == dict(resnet20=4)


def test_a_damaged_store_is_noticed_and_refilled(after, forwards):
    cfg = after()
    folder = Path(cfg.chain.logit_store.store_dir)
    path = next(folder.glob('resnet20-*/view_00001_*'))
    with np.load(path) as file:
        before = file['values']
    os.truncate(path, 1000)
    ChainRunner(cfg).train()
    assert forwards['resnet20'] == 2 and 'resnet14' not in forwards
    (path, ) = folder.glob('resnet20-*/view_00001_*')
    with np.load(path) as file:
        assert np.array_equal(file['values'], before)


@HOOKS.register_module(force=True)
class StopAt(Hook):
    """A kill, as far as the weights are concerned."""

    def __init__(self, iteration, once):
        self.iteration, self.once = iteration, once

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if (runner.iter == self.iteration and not os.path.exists(self.once)
                and hasattr(runner.model, 'teachers')):
            open(self.once, 'w').close()
            raise KeyboardInterrupt


@pytest.mark.gpu
def test_a_resumed_stage_ends_with_the_same_bits(make, forwards):
    """Rows were stored beyond the checkpoint from which it goes on.

    Also where the network itself is random.
    """
    whole, torn = make('whole', epochs=3), make('torn', epochs=3)
    for cfg in (whole, torn):
        for name in NETWORKS[1:]:
            network = cfg.chain.networks[name]
            network.model.backbone.drop_path_rate = 0.5
    ChainRunner(whole).train()
    torn.custom_hooks.append(
        dict(type='StopAt', iteration=3, once=f'{torn.work_dir}.once'))
    with pytest.raises(KeyboardInterrupt):
        ChainRunner(torn).train()
    torn.resume = True
    ChainRunner(torn).train()
    for name in NETWORKS:
        assert equal(weights(whole, name), weights(torn, name))
        assert history(whole, name) == history(torn, name)


@pytest.mark.gpu
def test_stages_counted_by_iterations(make, forwards):
    """An endless sampler's passes are the epochs of the views."""

    def by_iterations(cfg):
        cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=5)
        cfg.train_dataloader.sampler.type = 'InfiniteSampler'
        cfg.default_hooks.checkpoint = dict(
            type='CheckpointHook', by_epoch=False, interval=5)
        cfg.log_processor = dict(by_epoch=False)
        cfg.param_scheduler = None
        return cfg

    live = by_iterations(make('live', store=None))
    stored = by_iterations(make('stored', store=dict(dtype='float32')))
    for cfg in (live, stored):
        ChainRunner(cfg).train()
    assert equal(weights(live), weights(stored))
    assert forwards == dict(resnet20=10 + 5, resnet14=5 + 5)


def test_data_that_has_views_already(make, forwards):
    """Its sampler must set its epoch all the same."""
    cfg = make()
    cfg.train_dataloader.dataset = dict(
        type='ViewDataset', seed=9, dataset=cfg.train_dataloader.dataset)
    runner = ChainRunner(cfg)
    stage = runner.work.stage_config('resnet8').train_dataloader
    assert stage.sampler.type == 'mmpretrain.ViewSampler'
    assert stage.dataset.type == 'ViewDataset' and stage.dataset.seed == 9
    assert '64 images x 2 views' in runner.plan()
    runner.train()
    assert forwards == dict(resnet20=4, resnet14=4)


@pytest.mark.slow
def test_views_can_be_limited(make, forwards):
    cfg = make(epochs=4)
    cfg.chain.views = dict(num_views=2)
    runner = ChainRunner(cfg)
    assert '64 images x 2 views' in runner.plan()
    runner.train()
    assert forwards == dict(resnet20=4, resnet14=4)


def test_a_store_on_a_server(make, forwards, bucket, tmp_path, monkeypatch):
    """The weights are those with a store on the disk, also while it fails."""
    cache = dict(cache_dir=str(tmp_path / 'cache'))
    here, there = make('here'), make(
        'there',
        store=dict(store_dir=f's3://{bucket}/{tmp_path.name}', **cache))
    for cfg in (here, there):
        forwards.clear()
        ChainRunner(cfg).train()
        assert forwards == dict(resnet20=4, resnet14=4)
    again = make('again', store=there.chain.logit_store)
    for name in NETWORKS[:2]:
        again.chain.networks[name].ckpt_path = os.path.join(
            there.work_dir, name, f'{name}.pth')
    forwards.clear()
    ChainRunner(again).train()
    assert forwards == {}
    assert not (Path(there.work_dir) / 'logits').exists()

    # From the second view on it cannot be reached.
    read = ObjectFolder.read

    def fails(self, name):
        if 'view_00001' in name:
            raise OSError('no connection')
        return read(self, name)

    monkeypatch.setattr(ObjectFolder, 'read', fails)
    cut = copy.deepcopy(again)
    cut.work_dir = str(tmp_path / 'cut')
    ChainRunner(cut).train()
    assert forwards == dict(resnet20=2, resnet14=2)
    for cfg in (there, again, cut):
        assert equal(weights(here), weights(cfg))


def test_a_server_that_refuses_stops_before_the_training(
        make, bucket, refused):
    cfg = make(store=dict(store_dir='s3://other/logits'))
    refused(
        cfg, r"chain.logit_store.store_dir: 's3://other/logits' cannot be "
        r'written \(.*bucket does not exist.*\)')


def test_the_size_is_in_the_plan(make):
    plan = ChainRunner(make()).plan()
    (line, ) = (x for x in plan.splitlines() if x.startswith('logit store: '))
    assert 'float16' in line
    assert '64 images x 2 views: 0.0 MB a teacher, 2 of them' in line
    cfg = make(store=dict(dtype='float32', top_k=3))
    cfg.train_dataloader.dataset.pipeline = [dict(type='PackInputs')]
    assert 'float32, top 3, 64 images x 1 view' in ChainRunner(cfg).plan()
    assert 'logit store' not in ChainRunner(make(store=None)).plan()


def test_the_estimate_counts_what_is_cached(make):
    """Each teacher counts in the first stage of which it is a teacher."""
    costs = {}
    for store in (None, True):
        runner = ChainRunner(make(store=store, depth=None))
        costs[store] = [
            stage_cost(runner.chain, runner.facts, name) for name in NETWORKS
        ]
    macs = {name: runner.facts[name].macs for name in NETWORKS}
    assert costs[None][:2] == costs[True][:2]
    assert costs[None][2] - costs[True][2] == macs['resnet20']
    assert costs[True][2] == 3 * macs['resnet8'] + macs['resnet14']


@pytest.mark.gpu
def test_top_k(after, forwards):
    """Rows of another form are others."""
    ChainRunner(after(top_k=4)).train()
    assert forwards == dict(resnet20=4, resnet14=4)


@pytest.mark.parametrize('change, message', [
    ({
        'chain.logit_store': dict(dtype='float8')
    }, "chain.logit_store.dtype: 'float8' is none of float16, float32"),
    ({
        'chain.logit_store': dict(path='x')
    },
     'chain.logit_store.path: is unknown; chain.logit_store takes store_dir'),
    ({
        'chain.logit_store': 'logits'
    }, 'chain.logit_store: must be dict'),
    ({
        'chain.logit_store': dict(store_dir=3)
    }, 'chain.logit_store.store_dir: 3 must be the name of a folder'),
    ({
        'chain.logit_store': dict(store_dir='s4://x')
    }, "chain.logit_store.store_dir: 's4://x': fsspec knows no such protocol"),
    ({
        'chain.logit_store': dict(cache_dir=3)
    }, 'chain.logit_store.cache_dir: 3 must be the name of a folder'),
    ({
        'chain.logit_store': dict(cache_bytes=1e9)
    }, 'chain.logit_store.cache_bytes: 1000000000.0 must be an integer, 0 or'),
    ({
        'chain.views': None
    }, 'but chain.views is None; leave that out'),
    ({
        'chain.views': dict(num_views=0)
    }, 'chain.views.num_views: 0 must be an integer, 1 or more'),
    ({
        'chain.views': dict(epochs=1)
    }, 'chain.views.epochs: is unknown'),
    ({
        'chain.views': dict(file_key='md5')
    }, "chain.views.file_key: 'md5' is none of stat, content"),
    ({
        'train_dataloader.sampler.type': 'RepeatAugSampler'
    }, 'train_dataloader.sampler: RepeatAugSampler repeats'),
    ({
        'model.distiller.teacher_recorders.more':
        dict(type='mmrazor.MultiTeacherOutputs', source='backbone')
    }, 'keeps one output of each teacher, not 2'),
    ({
        'model.distiller.teacher_recorders.logits.source': 'backbone.layer2'
    }, r'what is recorded of "resnet20" is a tensor of shape \(32, 32, '),
    ({
        'model.teacher_options': dict(fold=True)
    }, 'model.teacher_options.fold: is unknown; .*"resnet14"'),
    ({
        'train_dataloader.collate_fn.type': 'default_collate'
    }, "train_dataloader.collate_fn: 'default_collate' cannot take"),
    ({
        'data_preprocessor.type': None
    }, 'data_preprocessor.type: None cannot take the whole batches'),
])
def test_bad_input(make, refused, change, message):
    cfg = make()
    for key, value in change.items():
        parent, last = key.rsplit('.', 1)
        node = cfg
        for part in parent.split('.'):
            node = node[part]
        node[last] = value
    refused(cfg, message)
