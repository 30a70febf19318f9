# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The KD loss of several teachers."""
from .dense_kd_loss import DenseKDLoss, dense_kd_loss

__all__ = [
    'DenseKDLoss',
    'dense_kd_loss',
]
