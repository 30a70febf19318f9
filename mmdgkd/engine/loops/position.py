# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from itertools import islice
from typing import Any, Optional

from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader


def begin_at(dataloader: DataLoader, batches: int) -> bool:
    """Begin the next iterator of a data loader after a number of batches.

    The batches before are not read.

    Args:
        dataloader (DataLoader): The data loader.
        batches (int): Number of batches to leave out.

    Returns:
        bool: Whether its sampler can do that, as :class:`ViewSampler` and
        MMEngine's ``InfiniteSampler``; another one is left as it is.
    """
    size: Optional[int] = dataloader.batch_size or getattr(
        dataloader.batch_sampler, 'batch_size', None)
    sampler = sampler_of(dataloader)
    if size is None:
        return False
    if isinstance(sampler, InfiniteSampler):
        # All its iterators go on from one another.
        sampler.indices = islice(sampler._indices_of_rank(), batches * size,
                                 None)
        return True
    if not hasattr(sampler, 'start_at'):
        return False
    sampler.start_at(batches * size)
    return True


def sampler_of(dataloader: DataLoader) -> Any:
    """The sampler of a data loader, or that of its batch sampler.

    Args:
        dataloader (DataLoader): The data loader.
    """
    return getattr(dataloader.batch_sampler, 'sampler', dataloader.sampler)


def progress_of(runner: Any) -> tuple:
    """The progress of a training: (unit, steps done, steps in all).

    Of one that a hook has ended, such as EarlyStoppingHook, all are done.

    Args:
        runner (Runner): The runner of the training process.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        unit, done, total = 'epoch', runner.epoch, runner.max_epochs
    else:
        unit, done, total = 'iter', runner.iter, runner.max_iters
    ended = getattr(runner.train_loop, 'stop_training', False)
    return unit, done, done if ended else total
