# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, Optional, Sized, Tuple

import numpy as np
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.datasets.samplers import RepeatAugSampler
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmdgkd.errors import ConfigError


@DATA_SAMPLERS.register_module()
class ViewSampler(Sampler):
    """Yields (epoch, index) for a :class:`ViewDataset`.

    Worker processes do not have the epoch, so it comes with each index. The
    epochs of an infinite sampler are its passes over the data.

    Where the data set mixes its views, a shuffled ``DefaultSampler`` yields
    partners one after the other, on one rank, so that each image is read once;
    with other samplers most are read twice.

    Of a data set with a ``split`` only the samples that are not left out are
    chosen from.

    Args:
        dataset (Sized): The data set.
        sampler (dict): Config of the sampler that chooses the indices.
            Defaults to None: ``dict(type='DefaultSampler', shuffle=True)``.
        seed (int, optional): Seed of its shuffling. Defaults to None: MMEngine
            chooses one.

    Raises:
        ConfigError: If the sampler repeats samples within an epoch on purpose:
            the view would be the same each time.
    """

    def __init__(self,
                 dataset: Sized,
                 sampler: Optional[Dict] = None,
                 seed: Optional[int] = None) -> None:
        cfg = sampler or dict(type='DefaultSampler', shuffle=True)
        self._chosen = getattr(dataset, 'chosen', None)
        if self._chosen is not None:
            # Less where num_batch_per_epoch is given.
            self._chosen = self._chosen[:len(dataset)]
        self.sampler = DATA_SAMPLERS.build(
            cfg,
            default_args=dict(
                dataset=dataset if self._chosen is None else _Part(
                    dataset, self._chosen),
                seed=seed))
        self._dataset = dataset
        if isinstance(self.sampler, RepeatAugSampler):
            raise ConfigError(
                'train_dataloader.sampler: RepeatAugSampler repeats samples '
                'within an epoch, but there is one view of each in an epoch; '
                'use DefaultSampler and more epochs')
        self.epoch = 0
        self._given = 0
        self._first = 0

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        """Iterate (epoch, index), both counted from 0."""
        for epoch, place in self._places():
            yield epoch, (
                place if self._chosen is None else int(self._chosen[place]))

    def _places(self) -> Iterator[Tuple[int, int]]:
        """(epoch, index) among the samples that are not left out."""
        first, self._first = self._first, 0
        if not isinstance(self.sampler, InfiniteSampler):
            for index in islice(self._indices(), first, None):
                yield self.epoch, index
            return
        inner: Any = self.sampler
        if first:
            # Its iterators continue where the last one has stopped.
            inner.indices = islice(inner._indices_of_rank(), first, None)
            self._given = first
        for index in inner:
            place = self._given * inner.world_size + inner.rank
            self._given += 1
            yield place // inner.size, index

    def _indices(self) -> Iterable[int]:
        """The indices of this rank."""
        partners, sampler = None, self.sampler
        if type(sampler) is DefaultSampler and sampler.shuffle:
            partners = getattr(self._dataset, 'partners_in',
                               lambda epoch: None)(
                                   self.epoch)
        if partners is None:
            return sampler
        # Some may not be in this epoch (num_batch_per_epoch).
        chosen = self._chosen
        if chosen is None:
            chosen = np.arange(len(self._dataset))
        found = np.searchsorted(chosen, partners[chosen])
        found = np.minimum(found, len(chosen) - 1)
        partners = np.where(chosen[found] == partners[chosen], found,
                            np.arange(len(chosen)))
        # The order of all ranks together.
        whole = copy.copy(sampler)
        whole.rank, whole.world_size, whole.total_size = 0, 1, len(partners)
        return in_pairs(
            np.array(list(whole)), partners, sampler.rank, sampler.world_size,
            sampler.total_size).tolist()

    def __len__(self) -> int:
        return len(self.sampler)

    def start_at(self, first: int) -> None:
        """Skip the first samples of this rank in the next iteration.

        An infinite sampler is counted from its very start.

        Args:
            first (int): Number of samples to skip.
        """
        self._first = first

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch.

        Args:
            epoch (int): Counted from 0.
        """
        self.epoch = epoch
        self.sampler.set_epoch(epoch)


class _Part:
    """Some samples of a data set, as a sampler looks at it.

    Args:
        dataset (Dataset): The data set.
        chosen (np.ndarray): Their indices, int64 of shape (M, ).
    """

    def __init__(self, dataset: Any, chosen: np.ndarray) -> None:
        self._dataset = dataset
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[int(self._chosen[index])]

    def get_data_info(self, index: int) -> Dict:
        return self._dataset.get_data_info(int(self._chosen[index]))

    def get_cat_ids(self, index: int) -> Any:
        return self._dataset.get_cat_ids(int(self._chosen[index]))

    def get_gt_labels(self) -> np.ndarray:
        return np.asarray(self._dataset.get_gt_labels())[self._chosen]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def in_pairs(order: np.ndarray, partners: np.ndarray, rank: int,
             world_size: int, total: int) -> np.ndarray:
    """Order samples so that partners follow each other on one rank.

    The first of two partners keeps its place among the others; one that is its
    own partner comes last. With the same batch size over all ranks, a batch of
    all ranks has the same samples for each number of ranks.

    Args:
        order (np.ndarray): All indices in their order, int64 of shape (M, ).
        partners (np.ndarray): By index that of the partner, likewise.
        rank (int): The rank.
        world_size (int): The number of ranks.
        total (int): Number of samples of all ranks: M, or more, so that each
            rank has the same; the first ones are then repeated.

    Returns:
        np.ndarray: The indices of the rank.
    """
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    lead = np.minimum(place, place[partners])
    # One that is its own partner would part all pairs after it.
    lead[partners == np.arange(len(order))] = len(order)
    order = np.resize(np.lexsort((place, lead)), total)
    # A row has two samples of each rank.
    whole = total // (2 * world_size) * 2 * world_size
    rows = order[:whole].reshape(-1, world_size, 2)[:, rank]
    return np.concatenate([rows.ravel(), order[whole:][rank::world_size]])
