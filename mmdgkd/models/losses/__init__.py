# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .dense_kd_loss import DenseKDLoss, dense_kd_loss
from .feed_loss import FEEDLoss, feed_loss

__all__ = ['DenseKDLoss', 'FEEDLoss', 'dense_kd_loss', 'feed_loss']
