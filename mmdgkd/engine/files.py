# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Writing files whole, and knowing them again."""
import contextlib
import hashlib
import os
import os.path as osp
from typing import IO, Any, Iterator


def sha256_of(path: str) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def whole_file(path: str, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when whole.

    Args:
        path (str): The file. Its folder is made if need be.
        mode (str): ``'w'`` or ``'wb'``. Defaults to ``'w'``.
    """
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    beside = f'{path}.{os.getpid()}.part'
    try:
        with open(beside, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        if osp.exists(beside):
            os.remove(beside)
