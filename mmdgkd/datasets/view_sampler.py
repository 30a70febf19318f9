# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from itertools import islice
from typing import Any, Dict, Iterator, Optional, Sized, Tuple

from mmengine.dataset import InfiniteSampler
from mmpretrain.datasets.samplers import RepeatAugSampler
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmdgkd.errors import ConfigError


@DATA_SAMPLERS.register_module()
class ViewSampler(Sampler):
    """Yields (epoch, index) for a :class:`ViewDataset`.

    Worker processes do not have the epoch, so it comes with each index. The
    epochs of an infinite sampler are its passes over the data.

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
        self.sampler = DATA_SAMPLERS.build(
            cfg, default_args=dict(dataset=dataset, seed=seed))
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
        first, self._first = self._first, 0
        if not isinstance(self.sampler, InfiniteSampler):
            for index in islice(self.sampler, first, None):
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
