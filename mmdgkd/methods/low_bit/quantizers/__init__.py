# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Quantizers of weights and of activations."""
from .act_quantizer import ActQuantizer
from .drawn_bits import drawn_bits
from .fixed_rounding import FixedRounding, round_inputs
from .functions import (level_range, optimal_step, quantize, round_through,
                        scale_gradient)
from .integers import integer_network, integer_tensors, packed_bytes
from .weight_quantizer import WeightQuantizer

__all__ = [
    'ActQuantizer', 'FixedRounding', 'WeightQuantizer', 'drawn_bits',
    'integer_network', 'integer_tensors', 'level_range', 'optimal_step',
    'packed_bytes', 'quantize', 'round_inputs', 'round_through',
    'scale_gradient'
]
