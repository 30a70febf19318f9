# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .batched_data_preprocessor import BatchedDataPreprocessor

__all__ = ['BatchedDataPreprocessor']
