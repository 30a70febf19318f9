# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""DAFL: chains without data, on generated images."""
from .batch_norm_gaps import BatchNormGapLoss, BatchNormGapsRecorder
from .dense_dafl import DenseDAFL
from .generated_images_hook import GeneratedImagesHook
from .generator_optim_wrapper_constructor import \
    GeneratorOptimWrapperConstructor
from .method import DAFL
from .no_images import NoImages

__all__ = [
    'BatchNormGapLoss', 'BatchNormGapsRecorder', 'DAFL', 'DenseDAFL',
    'GeneratedImagesHook', 'GeneratorOptimWrapperConstructor', 'NoImages'
]
