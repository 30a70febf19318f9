# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .algorithms import (DGKD, JointSlimmable, MutualNetworks, SubnetDMCP,
                         SubnetSPOS, TargetGroupFisher, mutual_losses)
from .backbones import (PlainCNN, ResNet6n2, SearchableResNet6n2, SmallVGG,
                        WideResNet)
from .connectors import (ResizeConnector, StandardizeConnector,
                         StochasticDropConnector, keep_mask, standardize)
from .data_preprocessors import BatchedDataPreprocessor
from .distillers import MultiTeacherDistiller
from .losses import (BankCRDLoss, DenseKDLoss, FEEDLoss, StudentGuidedKDLoss,
                     crd_loss, dense_kd_loss, draw_negatives, feed_loss,
                     student_guided_mean)
from .mutables import FisherChannelUnit, FusionChannelUnit
from .recorders import (MultiTeacherOutputsRecorder,
                        StochasticTeacherOutputsRecorder, pass_masks)

__all__ = [
    'BankCRDLoss', 'BatchedDataPreprocessor', 'DGKD', 'DenseKDLoss',
    'FEEDLoss', 'FisherChannelUnit', 'FusionChannelUnit', 'JointSlimmable',
    'MultiTeacherDistiller', 'MultiTeacherOutputsRecorder', 'MutualNetworks',
    'PlainCNN', 'ResNet6n2', 'ResizeConnector', 'SearchableResNet6n2',
    'SmallVGG', 'StandardizeConnector', 'StochasticDropConnector',
    'StochasticTeacherOutputsRecorder', 'StudentGuidedKDLoss', 'SubnetDMCP',
    'SubnetSPOS', 'TargetGroupFisher', 'WideResNet', 'crd_loss',
    'dense_kd_loss', 'draw_negatives', 'feed_loss', 'keep_mask',
    'mutual_losses', 'pass_masks', 'standardize', 'student_guided_mean'
]
