# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Group Fisher pruning down to a target."""
from .fisher_channel_unit import FisherChannelUnit
from .group_fisher_hook import GroupFisherHook
from .method import GroupFisher
from .target_group_fisher import TargetGroupFisher

__all__ = [
    'GroupFisher', 'FisherChannelUnit', 'GroupFisherHook', 'TargetGroupFisher'
]
