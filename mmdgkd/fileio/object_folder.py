# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A folder of files that never change: on a disk, or where fsspec reaches."""
import contextlib
import os
from typing import Iterator, List, Optional, Union

from mmdgkd.errors import ConfigError
from .checked_names import checked_name
from .disk_files import DiskFiles
from .remote_files import RemoteFiles, check_protocol

CACHE_BYTES = 10**10


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
        key (str): The config key of the address, for messages. Defaults to
            ``''``: none.

    Raises:
        ConfigError: If the address cannot be understood, see
            :func:`check_address`.
    """

    def __init__(self,
                 address: str,
                 cache_dir: Optional[str] = None,
                 cache_bytes: int = CACHE_BYTES,
                 key: str = '') -> None:
        self._files: Union[DiskFiles, RemoteFiles]
        if is_local(address):
            self._files = DiskFiles(address.removeprefix('file://'))
        else:
            with _named(key):
                self._files = RemoteFiles(address, cache_dir, cache_bytes)
        self.is_local = self._files.is_local
        self.path = self._files.path

    def list(self, folder: str = '') -> List[str]:
        """The names in it, sorted; none if it is not there.

        Args:
            folder (str): One of its folders. Defaults to ``''``: itself.

        Raises:
            OSError: If it cannot be read.
        """
        with contextlib.suppress(FileNotFoundError):
            return sorted(self._files.list(folder))
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
        return self._files.read(name)

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
                taken.
        """
        name = checked_name(stem, suffix, data)
        self._files.write(name, data)
        return name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Args:
            name (str): Its name.

        Raises:
            OSError: If it cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            self._files.remove(name)

    def remove_folder(self, folder: str) -> None:
        """Remove one of its folders, if nothing is in it.

        Args:
            folder (str): Its name.
        """
        self._files.remove_folder(folder)

    def size(self, name: str) -> int:
        """The bytes of a file; 0 if it is gone.

        Args:
            name (str): Its name.

        Raises:
            OSError: If it cannot be reached.
        """
        with contextlib.suppress(FileNotFoundError):
            return self._files.size(name)
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


def is_local(address: str) -> bool:
    """Whether an address is a path, or ``file://`` and one.

    Args:
        address (str): The address.
    """
    return '://' not in address or address.startswith('file://')


def check_address(address: str, here: str) -> None:
    """Check that an address can be understood, without a connection.

    Args:
        address (str): A path, or an address of fsspec.
        here (str): Its config key, for the message.

    Raises:
        ConfigError: If its protocol is not known, or needs a package.
    """
    if not is_local(address):
        with _named(here):
            check_protocol(address)


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Put a config key in front of a message."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f'{key}: {error}' if key else str(error)) from None
