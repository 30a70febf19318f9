# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Connectors between teachers and student."""
from .keep_mask import keep_mask
from .resize_connector import ResizeConnector
from .standardize_connector import StandardizeConnector, standardize
from .stochastic_drop_connector import StochasticDropConnector

__all__ = [
    'ResizeConnector', 'StandardizeConnector', 'StochasticDropConnector',
    'keep_mask', 'standardize'
]
