# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A training goes on in the middle of an epoch without reading it again."""
import copy
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdgkd.datasets.view_dataset import ViewDataset


class Interrupted(Exception):
    """Ends a run as a kill would."""


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Notes which views are trained in which iteration; may end the run."""

    seen = {}
    inner = {}
    end = None
    priority = 'LOWEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.end:
            raise Interrupted
        self.seen[runner.iter] = [(sample.view, sample.sample_idx)
                                  for sample in data_batch['data_samples']]
        self.inner[runner.iter] = batch_idx


@pytest.fixture
def reads(monkeypatch):
    """All views that are read, in order."""
    found, real = [], ViewDataset.__getitems__

    def read(self, items):
        found.extend(items)
        return real(self, items)

    monkeypatch.setattr(ViewDataset, '__getitems__', read)
    return found


@pytest.fixture
def stage(trained, tmp_path):
    """A plain stage: 64 images by 10, seven batches an epoch."""
    cfg = Config.fromfile(
        osp.join(trained[0].work_dir, 'resnet20', 'config.py'))
    cfg.train_dataloader.batch_size = 10
    # Watch looks at single samples.
    cfg.train_dataloader.dataset.dataset.type = 'Digits'
    cfg.train_dataloader.collate_fn = dict(type='default_collate')
    cfg.custom_hooks.append(dict(type='Watch'))
    cfg.default_hooks.checkpoint.update(
        by_epoch=False, interval=1, max_keep_ckpts=-1)
    cfg.visualizer = None
    cfg.param_scheduler = None

    def train(name, end=None, resume=None, **changes):
        each = Config(cfg.to_dict())
        each.merge_from_dict(copy.deepcopy(changes))
        each.work_dir = str(tmp_path / name)
        each.experiment_name = name
        if resume:
            each.resume, each.load_from = True, resume
        Watch.seen, Watch.inner, Watch.end = {}, {}, end
        runner = Runner.from_cfg(each)
        try:
            runner.train()
        except Interrupted:
            pass
        state = runner.model.state_dict()
        return Watch.seen, Watch.inner, {
            key: value.clone()
            for key, value in state.items()
        }, runner

    return train


def by_iters(sampler):
    return {
        'train_cfg':
        dict(
            _delete_=True,
            type='mmrazor.ResumableIterLoop',
            max_iters=17,
            val_interval=100),
        'train_dataloader.sampler':
        dict(
            type='mmpretrain.ViewSampler',
            sampler=dict(type=sampler, shuffle=True))
    }


@pytest.mark.parametrize('kind, end', [('epoch', 3), ('epoch', 7),
                                       ('epoch', 10), ('InfiniteSampler', 9),
                                       ('DefaultSampler', 9),
                                       ('DefaultSampler', 14)])
def test_it_goes_on_where_it_stopped(stage, tmp_path, reads, kind, end):
    changes = {} if kind == 'epoch' else by_iters(kind)
    seen, inner, whole, _ = stage('whole', **changes)
    stage('stopped', end=end, **changes)
    del reads[:]
    rest, rest_inner, state, runner = stage(
        'resumed',
        resume=str(tmp_path / 'stopped' / f'iter_{end}.pth'),
        **changes)
    assert rest == {i: views for i, views in seen.items() if i >= end}
    assert rest_inner == {i: n for i, n in inner.items() if i >= end}
    # Prefetching reads one batch ahead at most, without workers none; the
    # iterator that MMEngine makes beforehand reads nothing yet.
    assert len(reads) == sum(map(len, rest.values()))
    for key, value in state.items():
        assert torch.equal(value, whole[key]), key
    assert runner.iter == (14 if kind == 'epoch' else 17)


def test_other_samplers_read_again(stage, tmp_path, caplog):
    """Slower, but right."""
    changes = {
        'train_dataloader.sampler':
        dict(_delete_=True, type='DefaultSampler', shuffle=True)
    }
    seen, _, whole, _ = stage('whole', **changes)
    stage('stopped', end=3, **changes)
    rest, _, state, _ = stage(
        'resumed', resume=str(tmp_path / 'stopped' / 'iter_3.pth'), **changes)
    assert sorted(rest) == list(range(3, 14))
    assert [i for _, i in rest[3]] == [i for _, i in seen[3]]


def test_another_number_of_ranks_goes_on_after_the_same_share(stage, tmp_path):
    stage('stopped', end=4)
    rest, inner, _, _ = stage(
        'resumed',
        resume=str(tmp_path / 'stopped' / 'iter_4.pth'),
        **{'train_dataloader.batch_size': 5})
    # Of thirteen batches seven are done, as of seven were four.
    assert list(inner.values())[:7] == [7, 8, 9, 10, 11, 12, 0]


def test_the_last_checkpoint_is_of_the_end(stage, tmp_path):
    """What hooks do after the last epoch is in it."""
    _, _, state, _ = stage('whole')
    saved = torch.load(tmp_path / 'whole' / 'iter_14.pth')
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (2, 14)
    for key, value in saved['state_dict'].items():
        assert torch.equal(value, state[key]), key
