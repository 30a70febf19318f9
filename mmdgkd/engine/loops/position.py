# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Optional

from torch.utils.data import DataLoader


def begin_at(dataloader: DataLoader, batches: int) -> bool:
    """Have the next iterator of a data loader begin after so many batches.

    Nothing of what comes before is read.

    Args:
        dataloader (DataLoader): It.
        batches (int): Number of batches to leave out.

    Returns:
        bool: Whether its sampler can do that; one that cannot, such as any
        but :class:`ViewSampler`, is left as it is.
    """
    size: Optional[int] = dataloader.batch_size or getattr(
        dataloader.batch_sampler, 'batch_size', None)
    sampler = dataloader.sampler
    if not hasattr(sampler, 'start_at') or size is None:
        # A batch sampler of its own hides the sampler inside of it.
        sampler = getattr(dataloader.batch_sampler, 'sampler', None)
    if not hasattr(sampler, 'start_at') or size is None:
        return False
    sampler.start_at(batches * size)
    return True
