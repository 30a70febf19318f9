# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Memory of a training on the CPU."""
import ctypes
import os

# Parameters of mallopt(3). glibc takes no larger size for the second one.
_TRIM_THRESHOLD, _TRIM_BYTES = -1, (1 << 31) - 1
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 32 << 20


def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, for later use.

    glibc gives large blocks back to the system, and each step of a training
    needs the same blocks again, page by page: a fourth of the time of a small
    network. The process then has its peak memory until it ends. Nothing is
    changed with another C library, or where the environment has settings of
    glibc's.
    """
    if any(name.startswith('MALLOC_') for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
