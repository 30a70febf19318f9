# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Writing files whole, and knowing them again."""
import contextlib
import errno
import glob
import hashlib
import os
import os.path as osp
from typing import IO, Any, Iterator

from mmdgkd.errors import TrainingError

# What the system says when there is no room: on the disk, in the quota, or
# for a file of this size.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_of(path: str) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when whole.

    It is written beside, brought to the disk and then renamed, so that a kill
    or a power failure leaves either the old file or the new one.

    Args:
        path (str): The file. Its folder is made if need be.
        mode (str): ``'w'`` or ``'wb'``. Defaults to ``'w'``.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    beside = f'{path}.{os.getpid()}.part'
    try:
        with open(beside, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(folder)
    except OSError as error:
        # The system names no file where writing fails.
        error.filename = error.filename or path
        raise
    finally:
        if osp.exists(beside):
            os.remove(beside)


def remove_parts(folder: str) -> None:
    """Remove what killed runs have left half written.

    Args:
        folder (str): Nobody else may be writing there.
    """
    for path in glob.glob(osp.join(glob.escape(folder), '*.part')):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@contextlib.contextmanager
def disk_full_as_error(folder: str) -> Iterator[None]:
    """A full disk is nobody's programming error.

    Args:
        folder (str): Where files are written, for the message.

    Raises:
        TrainingError: If there is no room for one.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise TrainingError(
            f'{error.filename or folder!r}: {error.strerror}; what was '
            'written before is whole: make room, and add --resume to go on'
        ) from None


def _sync_folder(folder: str) -> None:
    """Bring the new name to the disk, where the file system knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
