# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Atomic writes, also for MMEngine."""
import contextlib
import errno
import glob
import hashlib
import json
import logging
import os
import os.path as osp
import secrets
import sys
from pathlib import Path
from typing import IO, Any, Iterator, Union

from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from mmdgkd.errors import TrainingError
from .checksum import write_with_checksum

# There is no room: on the disk, in the quota, or for a file of this size.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# What a file system without locks says.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def without_locks(path: str) -> Iterator[None]:
    """Go on where a lock fails since the file system of a file has none.

    Args:
        path (str): The file that is locked in this context.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print_log(
            f'{path}: its file system has no locks ({error.strerror}); see to '
            'it that no second run uses this folder',
            logger='current',
            level=logging.WARNING)


def can_write(folder: str) -> bool:
    """Whether files can be made in a folder."""
    return os.access(folder, os.W_OK)


def sha256_of(path: str) -> str:
    """Compute the sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def parse_json(text: str) -> Any:
    """Parse JSON that anyone may have written.

    Args:
        text (str): The text.

    Raises:
        ValueError: If it is no JSON, or nested too deep.
    """
    limit = sys.getrecursionlimit()
    # MMRazor raises the limit, and then deep brackets overflow the stack.
    sys.setrecursionlimit(1000)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError('is nested too deep') from None
    finally:
        sys.setrecursionlimit(limit)


@contextlib.contextmanager
def atomic_write(path: str, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is complete.

    It is written beside, synced to the disk and then renamed: a kill or a
    power failure leaves either the old file or the new one.

    Args:
        path (str): The file; its folder is made if absent.
        mode (str): ``'w'`` or ``'wb'``. Defaults to ``'w'``.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    # In containers that share a folder processes may have the same number.
    beside = f'{path}.{os.getpid()}.{secrets.token_hex(4)}.part'
    try:
        with open(beside, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(folder)
    except OSError as error:
        # An OSError of write() names no file.
        error.filename = error.filename or path
        raise
    finally:
        if osp.exists(beside):
            os.remove(beside)


def _sync_folder(folder: str) -> None:
    """Sync the new name to the disk, where the file system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AtomicBackend(LocalBackend):
    """MMEngine's local files, written atomically, checkpoints with a checksum.

    MMEngine uses it where ``backend_args=dict(backend='atomic')`` is given.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes.

        Args:
            obj (bytes): The content.
            filepath (str or Path): The file; its folder is made if absent.
        """
        with atomic_write(str(filepath), 'wb') as file:
            write_with_checksum(file, obj)

    def put_text(self,
                 obj: str,
                 filepath: Union[str, Path],
                 encoding: str = 'utf-8') -> None:
        """Write a text.

        Args:
            obj (str): The content.
            filepath (str or Path): The file; its folder is made if absent.
            encoding (str): Its encoding. Defaults to ``'utf-8'``.
        """
        with atomic_write(str(filepath), 'wb') as file:
            file.write(obj.encode(encoding))


register_backend('atomic', AtomicBackend)


def remove_parts(folder: str) -> None:
    """Remove the unfinished files of killed runs.

    Args:
        folder (str): The folder. No other process may be writing there.
    """
    for path in glob.glob(osp.join(glob.escape(folder), '*.part')):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@contextlib.contextmanager
def disk_full_as_error(folder: str) -> Iterator[None]:
    """Turn a full disk into a one-line error.

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
            'written before is intact: make room, and add --resume to go on'
        ) from None
