# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from itertools import islice
from typing import Optional

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import LOOPS

from .position import begin_at


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs that can begin in the middle of one.

    With a :class:`ViewSampler` no batch is read again; with another sampler
    the batches of before are read and left out.

    Args:
        **kwargs: As for MMEngine's ``EpochBasedTrainLoop``.
    """

    # The iteration with which the epoch has begun.
    epoch_start = 0
    _first = 0

    def start_at(self, batches: int, epoch_length: Optional[int]) -> None:
        """Set how much of the first epoch is done.

        Args:
            batches (int): Number of batches that are done.
            epoch_length (int, optional): Number of batches in the epoch. With
                another number of ranks an epoch has another length; the run
                goes on after the same share of the images.
        """
        length = len(self.dataloader)
        if epoch_length and epoch_length != length:
            batches = batches * length // epoch_length
        self._first = min(batches, length)

    @property
    def begins_inside(self) -> bool:
        """Whether the next epoch begins in its middle."""
        return self._first > 0

    def run_epoch(self) -> None:
        """Iterate one epoch, or the rest of it."""
        first, self._first = self._first, 0
        self.epoch_start = self._iter - first
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = iter(())
        if first < len(self.dataloader):
            skip = 0 if not first or begin_at(self.dataloader,
                                              first) else first
            if skip:
                print_log(
                    f'Reading {skip} batches again, since '
                    f'{type(self.dataloader.sampler).__name__} cannot begin '
                    'in the middle of an epoch',
                    logger='current',
                    level=logging.WARNING)
            batches = islice(self.dataloader, skip, None)
        for idx, data_batch in enumerate(batches, first):
            self.run_iter(idx, data_batch)

        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.epoch_start = self._iter
