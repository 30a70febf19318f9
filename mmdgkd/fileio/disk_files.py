# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Files of a folder on a disk here, or on one that is mounted."""
import contextlib
import errno
import os
import os.path as osp
from typing import Iterator, List

from .checked_names import checked
from .files import atomic_write

RESERVE = 10**9  # bytes that a disk keeps, or a twentieth of it


class DiskFiles:
    """The files of a folder, written atomically.

    What NFS says of a file that another machine has removed, ``ESTALE``, is a
    ``FileNotFoundError`` here.

    Args:
        path (str): The folder, which need not be there.
    """

    is_local = True

    def __init__(self, path: str) -> None:
        self.path = osp.abspath(path)

    def list(self, folder: str) -> List[str]:
        """The names in one of its folders."""
        with _gone():
            return os.listdir(osp.join(self.path, folder))

    def read(self, name: str) -> bytes:
        """Read a file, see :meth:`ObjectFolder.read`."""
        with _gone(), open(osp.join(self.path, name), 'rb') as file:
            return checked(name, file.read())

    def write(self, name: str, data: bytes) -> None:
        """Write a file, unless it is there.

        Raises:
            OSError: If that fails, or would take the last of the disk: that is
                for checkpoints, without which there is no run.
        """
        path = osp.join(self.path, name)
        if osp.exists(path):
            return
        os.makedirs(osp.dirname(path), exist_ok=True)
        disk = os.statvfs(osp.dirname(path))
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 20)
        if disk.f_bavail * disk.f_frsize < len(data) + reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with atomic_write(path, 'wb') as file:
            file.write(data)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.remove(osp.join(self.path, name))

    def remove_folder(self, folder: str) -> None:
        """Remove one of its folders, if nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(osp.join(self.path, folder))

    def size(self, name: str) -> int:
        """The bytes of a file that are allocated."""
        return os.stat(osp.join(self.path, name)).st_blocks * 512


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        raise FileNotFoundError(errno.ENOENT, error.strerror) from None
