# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .batched import BatchedCIFAR10, BatchedCIFAR100, BatchedDigits
from .digits import Digits
from .randomness import view_seed
from .view_dataset import ViewDataset
from .view_sampler import ViewSampler

__all__ = [
    'BatchedCIFAR10', 'BatchedCIFAR100', 'BatchedDigits', 'Digits',
    'ViewDataset', 'ViewSampler', 'view_seed'
]
