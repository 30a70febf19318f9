# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Low-bit networks, and SPEQ."""
from .cosine_loss import CosineLoss, cosine_loss
from .few_bit_network import FewBitNetwork
from .method import LowBit
from .quantizers import ActQuantizer, WeightQuantizer, optimal_step
from .speq import SPEQ

__all__ = [
    'LowBit', 'ActQuantizer', 'CosineLoss', 'FewBitNetwork', 'SPEQ',
    'WeightQuantizer', 'cosine_loss', 'optimal_step'
]
