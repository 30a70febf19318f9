# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .fisher_channel_unit import FisherChannelUnit
from .fused_conv2d import FusedConv2d
from .fusion_channel_unit import FusionChannelUnit

__all__ = ['FisherChannelUnit', 'FusedConv2d', 'FusionChannelUnit']
