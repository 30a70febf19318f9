# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Loops that resume within an epoch."""
from .resumable_epoch_loop import ResumableEpochLoop
from .resumable_iter_loop import ResumableIterLoop

__all__ = ['ResumableEpochLoop', 'ResumableIterLoop']
