# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains as jobs."""
from .sweep import Job, Sweep

__all__ = ['Job', 'Sweep']
