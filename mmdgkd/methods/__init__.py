# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One folder for each method; ``method.py`` in it is what the chain knows."""
from . import (byot, crd, dafl, dmcp, feed, group_fisher, gslr, low_bit,
               mutual, pruning, qat, row_conv, slimmable, spos, student_guided)

__all__ = [
    'byot', 'crd', 'dafl', 'dmcp', 'feed', 'group_fisher', 'gslr', 'low_bit',
    'mutual', 'pruning', 'qat', 'row_conv', 'slimmable', 'spos',
    'student_guided'
]
