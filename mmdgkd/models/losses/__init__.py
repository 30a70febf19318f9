# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .bank_crd_loss import BankCRDLoss, crd_loss
from .contrast_draws import draw_negatives
from .cosine_loss import CosineLoss, cosine_loss
from .dense_kd_loss import DenseKDLoss, dense_kd_loss
from .feed_loss import FEEDLoss, feed_loss
from .student_guided_kd_loss import StudentGuidedKDLoss, student_guided_mean

__all__ = [
    'BankCRDLoss', 'CosineLoss', 'DenseKDLoss', 'FEEDLoss',
    'StudentGuidedKDLoss', 'cosine_loss', 'crd_loss', 'dense_kd_loss',
    'draw_negatives', 'feed_loss', 'student_guided_mean'
]
