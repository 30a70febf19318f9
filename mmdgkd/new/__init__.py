# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""From images and two names to the config of a chain."""
from .new_config import new_config
from .options import Options

__all__ = ['Options', 'new_config']
