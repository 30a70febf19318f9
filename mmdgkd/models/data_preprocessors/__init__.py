# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Augmentation of whole batches."""
from .batched_data_preprocessor import BatchedDataPreprocessor

__all__ = ['BatchedDataPreprocessor']
