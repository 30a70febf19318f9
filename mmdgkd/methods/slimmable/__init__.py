# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Slimmable networks."""
from .joint_slimmable import JointSlimmable
from .method import Slimmable

__all__ = ['Slimmable', 'JointSlimmable']
