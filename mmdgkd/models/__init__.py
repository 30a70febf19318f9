# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .algorithms import (DGKD, SPEQ, DenseDAFL, FewBitNetwork, JointSlimmable,
                         MeanOfNetworks, MutualNetworks, SubnetDMCP,
                         SubnetSPOS, TargetGroupFisher, mean_prediction,
                         mutual_losses)
from .backbones import (PlainCNN, ResNet6n2, SearchableResNet6n2, SmallVGG,
                        WideResNet)
from .connectors import (ResizeConnector, StandardizeConnector,
                         StochasticDropConnector, keep_mask, standardize)
from .data_preprocessors import BatchedDataPreprocessor
from .distillers import MultiTeacherDistiller, ensemble_logits
from .losses import (BankCRDLoss, CosineLoss, DenseKDLoss, FEEDLoss,
                     StudentGuidedKDLoss, cosine_loss, crd_loss, dense_kd_loss,
                     draw_negatives, feed_loss, student_guided_mean)
from .mutables import FisherChannelUnit, FusionChannelUnit
from .quantizers import ActQuantizer, WeightQuantizer, optimal_step
from .recorders import (MultiTeacherOutputsRecorder,
                        StochasticTeacherOutputsRecorder, pass_masks)
from .rows import RowStream, peak_bytes, row_conv, rows_seen

__all__ = [
    'ActQuantizer', 'BankCRDLoss', 'BatchedDataPreprocessor', 'CosineLoss',
    'DGKD', 'DenseDAFL', 'DenseKDLoss', 'FEEDLoss', 'FewBitNetwork',
    'FisherChannelUnit', 'FusionChannelUnit', 'JointSlimmable',
    'MeanOfNetworks', 'MultiTeacherDistiller', 'MultiTeacherOutputsRecorder',
    'MutualNetworks', 'PlainCNN', 'ResNet6n2', 'ResizeConnector', 'RowStream',
    'SPEQ', 'SearchableResNet6n2', 'SmallVGG', 'StandardizeConnector',
    'StochasticDropConnector', 'StochasticTeacherOutputsRecorder',
    'StudentGuidedKDLoss', 'SubnetDMCP', 'SubnetSPOS', 'TargetGroupFisher',
    'WeightQuantizer', 'WideResNet', 'cosine_loss', 'crd_loss',
    'dense_kd_loss', 'draw_negatives', 'ensemble_logits', 'feed_loss',
    'keep_mask', 'mean_prediction', 'mutual_losses', 'optimal_step',
    'pass_masks', 'peak_bytes', 'row_conv', 'rows_seen', 'standardize',
    'student_guided_mean'
]
