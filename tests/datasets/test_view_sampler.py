# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import itertools

import numpy as np
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


class Mixed(list):
    """Ten samples, or eleven, that are mixed in another order each epoch."""

    def partners_in(self, epoch):
        order = np.random.RandomState(epoch).permutation(len(self))
        partners, half = np.arange(len(self)), len(self) // 2
        partners[order[:half]] = order[half:2 * half]
        partners[order[half:2 * half]] = order[:half]
        return partners


@pytest.fixture
def mixed_on_rank(monkeypatch):
    """As ``on_rank``, of mixed samples: their list, and their partners."""

    def make(rank, world_size, count=10, epoch=3, **sampler):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda:
                            (rank, world_size))
        dataset = Mixed(range(count))
        sampler = ViewSampler(
            dataset, dict(type='DefaultSampler', **sampler), seed=4)
        sampler.set_epoch(epoch)
        return sampler, dataset.partners_in(epoch)

    return make


@pytest.mark.parametrize('count', [9, 10, 24])
@pytest.mark.parametrize('world_size', [1, 2, 3, 16])
@pytest.mark.parametrize('round_up', [True, False])
def test_partners_follow_each_other(mixed_on_rank, count, world_size,
                                    round_up):
    """Each rank has as many samples as without, and all have all."""
    seen, together = [], 0
    for rank in range(world_size):
        sampler, partners = mixed_on_rank(
            rank, world_size, count, round_up=round_up)
        indices = [index for _, index in sampler]
        assert len(indices) == len(sampler)
        seen += indices
        together += sum(b == partners[a]
                        for a, b in itertools.pairwise(indices))
    assert {*seen} == {*range(count)}
    assert round_up or len(seen) == count
    # All but those of the last row, of two samples a rank.
    assert together >= count // (2 * world_size) * world_size - 1


def test_batches_of_two_ranks_are_those_of_one(mixed_on_rank):
    one = [index for _, index in mixed_on_rank(0, 1)[0]]
    first, second = ([index for _, index in mixed_on_rank(rank, 2)[0]]
                     for rank in (0, 1))
    for i in (0, 4):
        assert {*one[i:i + 4]
                } == {*first[i // 2:i // 2 + 2], *second[i // 2:i // 2 + 2]}


def test_mixed_samples_are_shuffled_anew_and_resumed(mixed_on_rank):
    orders = []
    for epoch in (0, 1):
        sampler, _ = mixed_on_rank(1, 2, 24, epoch)
        orders.append(list(sampler))
        sampler.start_at(5)
        assert list(sampler) == orders[-1][5:] == list(
            mixed_on_rank(1, 2, 24, epoch)[0])[5:]
    assert [index
            for _, index in orders[0]] != [index for _, index in orders[1]]
    # Where nothing is shuffled, the order is left.
    assert [index for _, index in mixed_on_rank(0, 1, shuffle=False)[0]
            ] == [*range(10)]


class Some(Mixed):
    """The first six of them, as by num_batch_per_epoch; two are left out."""

    def __init__(self, values, chosen=None):
        super().__init__(values)
        self.chosen = chosen

    def __len__(self):
        return 6

    def partners_in(self, epoch):
        return Mixed(self).partners_in(epoch)


@pytest.mark.parametrize('chosen', [None, np.r_[0:2, 4:12]])
def test_partners_that_are_not_in_the_epoch(chosen):
    """Each image comes once, some of them by itself."""
    for epoch in range(5):
        sampler = ViewSampler(Some(range(12), chosen), seed=4)
        sampler.set_epoch(epoch)
        wanted = range(6) if chosen is None else chosen[:6].tolist()
        assert sorted(index for _, index in sampler) == [*wanted]
