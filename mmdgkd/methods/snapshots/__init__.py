# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Snapshots of a network's training as networks of the chain."""
from .method import Snapshots
from .snapshot_hook import SnapshotHook

__all__ = ['SnapshotHook', 'Snapshots']
