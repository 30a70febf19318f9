# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""FEED: feature maps of several teachers."""
from .feed_loss import FEEDLoss, feed_loss

__all__ = ['FEEDLoss', 'feed_loss']
