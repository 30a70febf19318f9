# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""CRD: contrastive representation distillation."""
from .bank_crd_loss import BankCRDLoss, crd_loss
from .method import CRD
from .negatives import draw_negatives
from .sample_classes_hook import SampleClassesHook

__all__ = [
    'CRD', 'BankCRDLoss', 'SampleClassesHook', 'crd_loss', 'draw_negatives'
]
