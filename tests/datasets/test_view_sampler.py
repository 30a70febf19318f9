# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import itertools

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATA_SAMPLERS

from mmdgkd import ConfigError
from mmdgkd.datasets.view_sampler import ViewSampler


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def on_rank(monkeypatch):
    """A function that makes a sampler as it is on a rank of several."""

    def make(rank, world_size, **kwargs):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda:
                            (rank, world_size))
        return ViewSampler(range(10), seed=4, **kwargs)

    return make


def test_indices_are_those_of_the_inner_sampler():
    theirs = DATA_SAMPLERS.build(
        dict(type='DefaultSampler', shuffle=True),
        default_args=dict(dataset=range(10), seed=4))
    mine = ViewSampler(range(10), dict(type='DefaultSampler'), seed=4)
    for epoch in (0, 1, 5):
        theirs.set_epoch(epoch), mine.set_epoch(epoch)
        assert list(mine) == [(epoch, index) for index in theirs]
    assert len(mine) == 10


def test_ranks_share_an_epoch(on_rank):
    pairs = []
    for rank in (0, 1):
        sampler = on_rank(rank, 2)
        sampler.set_epoch(3)
        pairs += list(sampler)
    assert sorted(pairs) == [(3, index) for index in range(10)]


def test_passes_of_an_infinite_sampler_are_epochs(on_rank):
    """Also where a pass ends within a rank's share."""
    pairs = []
    for rank in range(3):
        sampler = on_rank(rank, 3, sampler=dict(type='InfiniteSampler'))
        pairs += itertools.islice(sampler, 10)
    assert sorted(pairs) == [(epoch, index) for epoch in range(3)
                             for index in range(10)]


def test_repeated_augmentation_is_refused():
    with pytest.raises(ConfigError, match='RepeatAugSampler repeats samples'):
        ViewSampler(range(10), dict(type='RepeatAugSampler'))
