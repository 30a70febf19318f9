# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor's iterative pruning: L1 and DCFF."""
from .fusion_channel_unit import FusedConv2d, FusionChannelUnit
from .method import Pruning

__all__ = ['Pruning', 'FusedConv2d', 'FusionChannelUnit']
