# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Of a process of its own: what is set holds until its end."""
import ctypes
import os
import subprocess
import sys

import pytest

FAULTS = '''
import ctypes, resource, runpy, sys
if sys.argv[2] == 'keep':
    runpy.run_path(sys.argv[1])['keep_freed_memory']()
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
size = ctypes.c_size_t(24 << 20)

def step():
    blocks = [ctypes.c_void_p(c.malloc(size)) for _ in range(4)]
    for block in blocks:
        c.memset(block, 1, size)
    for block in blocks:
        c.free(block)

step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(), step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), 'mallopt'), reason='is of glibc')
@pytest.mark.parametrize('word, setting, kept', [
    ('keep', None, True),
    ('none', None, False),
    ('keep', 'MALLOC_TRIM_THRESHOLD_', False),
])
def test_pages_are_not_fetched_again(root, word, setting, kept):
    """But if the environment says how much is to be kept."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(('MALLOC_', 'LD_PRELOAD'))
    }
    if setting:
        env[setting] = str(1 << 20)
    done = subprocess.run(
        [sys.executable, '-c', FAULTS, root / 'mmdgkd/utils/memory.py', word],
        env=env,
        capture_output=True,
        text=True,
        check=True)
    # Two steps of 24,576 pages, of 4 KiB, if they are not kept.
    assert (int(done.stdout) < 1000) == kept
