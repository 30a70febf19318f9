# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""GSLR: labels take over from the teachers."""
from .gslr_hook import GSLRHook

__all__ = ['GSLRHook']
