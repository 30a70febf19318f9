# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One folder for each method; the chain uses its ``method.py`` alone."""
from . import (byot, crd, curriculum, dafl, dmcp, dskd, feed, group_fisher,
               gslr, low_bit, mutual, one_shot, pruning, qat, row_conv,
               slimmable, snapshots, spos, student_guided)

__all__ = [
    'byot', 'crd', 'curriculum', 'dafl', 'dmcp', 'dskd', 'feed',
    'group_fisher', 'gslr', 'low_bit', 'mutual', 'one_shot', 'pruning', 'qat',
    'row_conv', 'slimmable', 'snapshots', 'spos', 'student_guided'
]
