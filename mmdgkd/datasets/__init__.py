# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Data sets of small images, and views of any data set."""
from .batched import (BatchedCIFAR10, BatchedCIFAR100, BatchedDigits,
                      BatchedSVHN)
from .digits import Digits
from .held_out import HeldOut
from .svhn import SVHN
from .tiny_imagenet import TinyImageNet
from .view_dataset import ViewDataset
from .view_sampler import ViewSampler

__all__ = [
    'BatchedCIFAR10',
    'BatchedCIFAR100',
    'BatchedDigits',
    'BatchedSVHN',
    'Digits',
    'HeldOut',
    'SVHN',
    'TinyImageNet',
    'ViewDataset',
    'ViewSampler',
]
