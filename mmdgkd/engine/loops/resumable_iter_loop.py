# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmrazor.registry import LOOPS

from .position import begin_at, sampler_of


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """MMEngine's loop over iterations, without reading batches again.

    A resumed loop of MMEngine reads all batches of before. Here a
    :class:`ViewSampler` or an ``InfiniteSampler`` begins where the run
    stopped; with other samplers the batches of one epoch at most are read.

    Args:
        **kwargs: As for MMEngine's ``IterBasedTrainLoop``.
    """

    def run(self) -> Any:
        """Launch training."""
        if self._iter:
            self.dataloader_iterator = _Later(self, self._iter)
        return super().run()


class _Later:
    """The batches from an iteration on.

    MMEngine's loop first takes the batches of before and discards them: here
    it takes None that often. Only then does the data loader begin, after all
    hooks have set the epoch of its sampler.

    Args:
        loop (ResumableIterLoop): The loop.
        done (int): Number of iterations that are done.
    """

    def __init__(self, loop: ResumableIterLoop, done: int) -> None:
        self._loop = loop
        self._done = done
        self._left = done
        self._iterator: Any = None

    def __iter__(self) -> '_Later':
        return self

    def __next__(self) -> Any:
        if self._left:
            self._left -= 1
            return None
        if self._iterator is None:
            self._iterator = self._placed()
        return next(self._iterator)

    def skip_iter(self, num_iters: int) -> None:
        """Discard batches as OneDL's MMEngine does, without taking them.

        Args:
            num_iters (int): How many.
        """
        self._left -= num_iters

    def _placed(self) -> _InfiniteDataloaderIterator:
        dataloader = self._loop.dataloader
        sampler = sampler_of(dataloader)
        inner = getattr(sampler, 'sampler', sampler)
        epoch, batches = 0, self._done
        if not isinstance(inner, InfiniteSampler):
            epoch, batches = divmod(self._done, len(dataloader))
        if epoch and hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        skip = 0 if begin_at(dataloader, batches) else batches
        iterator = _InfiniteDataloaderIterator(dataloader)
        iterator._epoch = epoch
        for _ in range(skip):
            next(iterator)
        return iterator
