# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Files where fsspec reaches, with copies of those read last."""
import contextlib
import errno
import hashlib
import os
import os.path as osp
import tempfile
from typing import Any, Callable, List, Optional, TypeVar

import fsspec
from fsspec.core import url_to_fs

from mmdgkd.errors import ConfigError
from .checked_names import DamagedFile, checked, is_checked
from .files import atomic_write

_Value = TypeVar('_Value')


class RemoteFiles:
    """The files of a folder elsewhere; all errors are ``OSError``.

    Args:
        address (str): An address of fsspec, such as ``s3://bucket/logits``.
        cache_dir (str, optional): Where copies are kept. Defaults to None: in
            the folder for temporary files.
        cache_bytes (int): How many of them.

    Raises:
        ConfigError: If it cannot be understood; without a config key.
    """

    is_local = False

    def __init__(self, address: str, cache_dir: Optional[str],
                 cache_bytes: int) -> None:
        check_protocol(address)
        self.path = address.rstrip('/')
        try:
            self._fs, self._root = url_to_fs(self.path)
        except Exception as error:  # of any class
            raise ConfigError(f'{self.path!r}: {_line_of(error)}') from None
        self._copies = _Copies(self.path, cache_dir, cache_bytes)

    def list(self, folder: str) -> List[str]:
        """The names in one of its folders."""
        # Others write there.
        self._call(self._fs.invalidate_cache)
        found = self._call(
            self._fs.ls, f'{self._root}/{folder}'.rstrip('/'), detail=False)
        return [osp.basename(name.rstrip('/')) for name in found]

    def read(self, name: str) -> bytes:
        """Read a file, or its copy; see :meth:`ObjectFolder.read`."""
        data = self._copies.read(name)
        if data is None:
            data = checked(
                name, self._call(self._fs.cat_file, f'{self._root}/{name}'))
            self._copies.write(name, data)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        self._call(self._fs.pipe_file, f'{self._root}/{name}', data)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._call(self._fs.rm_file, f'{self._root}/{name}')

    def remove_folder(self, folder: str) -> None:
        """Nothing: a folder is what is in it."""

    def size(self, name: str) -> int:
        """The bytes of a file."""
        return int(self._call(self._fs.size, f'{self._root}/{name}') or 0)

    def _call(self, call: Callable[..., _Value], *args: Any,
              **kwargs: Any) -> _Value:
        """Call a file system, whose errors are of any class."""
        try:
            return call(*args, **kwargs)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, _line_of(error)) from error


class _Copies:
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
        with contextlib.suppress(OSError, DamagedFile):
            with open(path, 'rb') as file:
                data = checked(name, file.read())
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
             if entry.is_file() and is_checked(entry.name)),
            reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > self._limit:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)


def check_protocol(address: str) -> None:
    """Check that fsspec can reach an address, without a connection.

    Args:
        address (str): An address of fsspec.

    Raises:
        ConfigError: If its protocol is not known, or needs a package; without
            a config key.
    """
    try:
        fsspec.get_filesystem_class(address.split('://')[0])
    except ValueError:
        raise ConfigError(
            f'{address!r}: fsspec knows no such protocol; use a path, s3://, '
            'gs:// or another one that it knows') from None
    except ImportError as error:
        raise ConfigError(f'{address!r}: {error}') from None


def _line_of(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
