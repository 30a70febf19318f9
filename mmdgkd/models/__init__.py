# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The core: a network, its teachers, and the losses between them."""
from .algorithms import DGKD, MeanOfNetworks, mean_prediction
from .backbones import PlainCNN, ResNet6n2, SmallVGG, WideResNet
from .connectors import (ResizeConnector, StandardizeConnector,
                         StochasticDropConnector, keep_mask, standardize)
from .data_preprocessors import BatchedDataPreprocessor
from .distillers import MultiTeacherDistiller, ensemble_logits
from .losses import DenseKDLoss, dense_kd_loss
from .recorders import MultiTeacherOutputsRecorder

__all__ = [
    'BatchedDataPreprocessor', 'DGKD', 'DenseKDLoss', 'MeanOfNetworks',
    'MultiTeacherDistiller', 'MultiTeacherOutputsRecorder', 'PlainCNN',
    'ResNet6n2', 'ResizeConnector', 'SmallVGG', 'StandardizeConnector',
    'StochasticDropConnector', 'WideResNet', 'dense_kd_loss',
    'ensemble_logits', 'keep_mask', 'mean_prediction', 'standardize'
]
