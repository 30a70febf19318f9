# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Slimmable networks."""
from .joint_slimmable import JointSlimmable

__all__ = ['JointSlimmable']
