# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""BYOT: a network is distilled from its own last layer."""
from .method import BYOT

__all__ = ['BYOT']
