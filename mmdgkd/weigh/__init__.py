# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether several teachers are worth more than one, on held-out images."""
from .chains import weigh_chain
from .stacking import stack
from .weighing import weigh

__all__ = ['stack', 'weigh', 'weigh_chain']
