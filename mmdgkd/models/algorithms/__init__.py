# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The algorithm of one stage."""
from .dgkd import DGKD
from .mean_of_networks import MeanOfNetworks, mean_prediction

__all__ = [
    'DGKD',
    'MeanOfNetworks',
    'mean_prediction',
]
