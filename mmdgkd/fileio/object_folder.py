# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A folder of files that never change: on a disk, or where fsspec reaches."""
import contextlib
import errno
import hashlib
import os
import os.path as osp
import re
import tempfile
from typing import Any, Callable, Iterator, List, Optional, TypeVar

import fsspec
from fsspec.core import url_to_fs

from mmdgkd.errors import ConfigError
from .files import atomic_write

RESERVE = 10**9  # bytes that a disk keeps, or a twentieth of it
CACHE_BYTES = 10**10
_DIGEST = re.compile(r'-([0-9a-f]{16})\.[a-z]+$')
_Value = TypeVar('_Value')


class DamagedFile(ValueError):
    """A file whose content does not match its name."""


class ObjectFolder:
    """Files that are written once, under a name with their checksum.

    Each is published whole, by a rename or a PUT, so that nothing has to be
    locked: what is there is complete, and two processes that write the same
    name write the same bytes. It is read into memory: a mapping of a file that
    another machine removes is a signal on NFS.

    Args:
        address (str): A path, or an address of fsspec, such as
            ``s3://bucket/logits``.
        cache_dir (str, optional): Where copies of files elsewhere are kept.
            Defaults to None: in the folder for temporary files.
        cache_bytes (int): How many of them, those read last. Defaults to
            10 GB.

    Raises:
        ConfigError: As :func:`check_address`.
    """

    def __init__(self,
                 address: str,
                 cache_dir: Optional[str] = None,
                 cache_bytes: int = CACHE_BYTES) -> None:
        self.is_local = is_local(address)
        self._cache: Optional[_Cache] = None
        if self.is_local:
            self.path = osp.abspath(address.removeprefix('file://'))
        else:
            check_address(address)
            self.path = address.rstrip('/')
            try:
                self._fs, self._root = url_to_fs(self.path)
            except Exception as error:  # of any class
                raise ConfigError(
                    'chain.logit_store.store_dir: '
                    f'{self.path!r}: {_line_of(error)}') from None
            self._cache = _Cache(self.path, cache_dir, cache_bytes)

    def list(self, folder: str = '') -> List[str]:
        """The names in it, sorted; none if it is not there.

        Args:
            folder (str): One of its folders. Defaults to ``''``: itself.

        Raises:
            OSError: If it cannot be read.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.is_local:
                with _gone():
                    return sorted(os.listdir(osp.join(self.path, folder)))
            path = f'{self._root}/{folder}'.rstrip('/')
            return sorted(
                osp.basename(name.rstrip('/'))
                for name in self._remote(self._ls, path))
        return []

    def read(self, name: str) -> bytes:
        """Read a file.

        Args:
            name (str): Its name, as :meth:`write` gave it.

        Raises:
            FileNotFoundError: If it is not there.
            DamagedFile: If its content does not match its name.
            OSError: If it cannot be read.
        """
        if self._cache is not None:
            data = self._cache.read(name)
            if data is not None and matches(name, data):
                return data
            data = self._remote(self._fs.cat_file, f'{self._root}/{name}')
        else:
            with _gone(), open(osp.join(self.path, name), 'rb') as file:
                data = file.read()
        if not matches(name, data):
            raise DamagedFile(name)
        if self._cache is not None:
            self._cache.write(name, data)
        return data

    def write(self, stem: str, suffix: str, data: bytes) -> str:
        """Write a file, unless it is there.

        Args:
            stem (str): The first part of its name.
            suffix (str): The last one, such as ``'.npz'``.
            data (bytes): Its content.

        Returns:
            str: Its name, with the checksum in it.

        Raises:
            OSError: If it cannot be written, or the last of a disk would be
                taken: that is for checkpoints, without which there is no run.
        """
        name = f'{stem}-{digest_of(data)}{suffix}'
        if not self.is_local:
            self._remote(self._fs.pipe_file, f'{self._root}/{name}', data)
            return name
        path = osp.join(self.path, name)
        if not osp.exists(path):
            os.makedirs(osp.dirname(path), exist_ok=True)
            disk = os.statvfs(osp.dirname(path))
            reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 20)
            if disk.f_bavail * disk.f_frsize < len(data) + reserve:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with atomic_write(path, 'wb') as file:
                file.write(data)
        return name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Args:
            name (str): Its name.

        Raises:
            OSError: If it cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.is_local:
                os.remove(osp.join(self.path, name))
            else:
                self._remote(self._fs.rm_file, f'{self._root}/{name}')

    def remove_folder(self, folder: str) -> None:
        """Remove one of its folders, if nothing is in it.

        Args:
            folder (str): Its name.
        """
        if self.is_local:  # Elsewhere a folder is what is in it.
            with contextlib.suppress(OSError):
                os.rmdir(osp.join(self.path, folder))

    def size(self, name: str) -> int:
        """The bytes of a file; 0 if it is gone.

        Args:
            name (str): Its name.

        Raises:
            OSError: If it cannot be reached.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.is_local:
                # Allocated ones.
                return os.stat(osp.join(self.path, name)).st_blocks * 512
            size = self._remote(self._fs.size, f'{self._root}/{name}')
            return int(size or 0)
        return 0

    def check(self) -> None:
        """Write a file that is not on a disk here, and remove it again.

        Raises:
            OSError: If that cannot be done: no connection, wrong credentials,
                no such bucket.
        """
        if not self.is_local:
            self.list()
            self.remove(self.write('.mmdgkd', '.check', os.urandom(8)))

    def _ls(self, path: str) -> List[str]:
        # Others write there.
        self._fs.invalidate_cache()
        return self._fs.ls(path, detail=False)

    def _remote(self, call: Callable[..., _Value], *args: Any) -> _Value:
        """Call a file system, whose errors are of any class."""
        try:
            return call(*args)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, _line_of(error)) from error


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """NFS has a word of its own for what another machine has removed."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        raise FileNotFoundError(errno.ENOENT, error.strerror) from None


def _line_of(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Cache:
    """Copies of files, of which the oldest are removed."""

    def __init__(self, address: str, folder: Optional[str],
                 limit: int) -> None:
        own = hashlib.sha256(address.encode()).hexdigest()[:16]
        # A folder of its own: in that of the user are other files.
        self._root = osp.join(folder or tempfile.gettempdir(),
                              f'mmdgkd_logits_{os.getuid()}')
        self._folder = osp.join(self._root, own)
        self._limit = limit

    def read(self, name: str) -> Optional[bytes]:
        path = osp.join(self._folder, name)
        with contextlib.suppress(OSError):
            with open(path, 'rb') as file:
                data = file.read()
            os.utime(path)
            return data
        return None

    def write(self, name: str, data: bytes) -> None:
        # Without it files are only read more often.
        with contextlib.suppress(OSError):
            if len(data) <= self._limit:
                os.makedirs(self._root, mode=0o700, exist_ok=True)
                with atomic_write(osp.join(self._folder, name), 'wb') as file:
                    file.write(data)
                self._shrink()

    def _shrink(self) -> None:
        found = [os.scandir(folder) for folder, _, _ in os.walk(self._root)]
        files = sorted(
            ((entry.stat().st_mtime, entry.stat().st_size, entry.path)
             for entries in found for entry in entries
             if entry.is_file() and _DIGEST.search(entry.name)),
            reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > self._limit:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)


def is_local(address: str) -> bool:
    """Whether an address is a path, or ``file://`` and one.

    Args:
        address (str): The address.
    """
    return '://' not in address or address.startswith('file://')


def check_address(address: str) -> None:
    """Check that fsspec can reach an address, without a connection.

    Args:
        address (str): A path, or an address of fsspec.

    Raises:
        ConfigError: If its protocol is not known, or needs a package.
    """
    here = 'chain.logit_store.store_dir'
    if is_local(address):
        return
    try:
        fsspec.get_filesystem_class(address.split('://')[0])
    except ValueError:
        raise ConfigError(
            f'{here}: {address!r}: fsspec knows no such protocol; use a path, '
            's3://, gs:// or another one that it knows') from None
    except ImportError as error:
        raise ConfigError(f'{here}: {address!r}: {error}') from None


def digest_of(data: bytes) -> str:
    """The checksum of a content, as it is in a name.

    Args:
        data (bytes): The content.
    """
    return hashlib.sha256(data).hexdigest()[:16]


def matches(name: str, data: bytes) -> bool:
    """Whether a content matches the checksum in its name.

    Args:
        name (str): The name.
        data (bytes): The content.
    """
    found = _DIGEST.search(name)
    return found is not None and found[1] == digest_of(data)
