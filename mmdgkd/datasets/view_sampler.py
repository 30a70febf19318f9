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
    """Hands (epoch, index) to a :class:`ViewDataset`.

    Worker processes do not know the epoch, so the sampler tells it with each
    index. An endless sampler's epochs are its passes over the data.

    Args:
        dataset (Sized): The data set.
        sampler (dict): Config of the sampler that chooses the indices.
            Defaults to None: ``dict(type='DefaultSampler', shuffle=True)``.
        seed (int, optional): Seed of its shuffling. Defaults to None: MMEngine
            chooses one.

    Raises:
        ConfigError: If it gives out a sample several times in an epoch, on
            purpose, which would be the same view each time.
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
            # It goes on where its last iterator has stopped.
            inner.indices = islice(inner._indices_of_rank(), first, None)
            self._given = first
        for index in inner:
            place = self._given * inner.world_size + inner.rank
            self._given += 1
            yield place // inner.size, index

    def __len__(self) -> int:
        return len(self.sampler)

    def start_at(self, first: int) -> None:
        """Leave out the first samples of this rank in the next iteration.

        An endless sampler begins from its very start before that.

        Args:
            first (int): How many.
        """
        self._first = first

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that begins.

        Args:
            epoch (int): Counted from 0.
        """
        self.epoch = epoch
        self.sampler.set_epoch(epoch)
