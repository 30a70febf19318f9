# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What MMEngine calls: hooks, loops and optimizer wrappers."""
from . import hooks, loops, optim

__all__ = ['hooks', 'loops', 'optim']
