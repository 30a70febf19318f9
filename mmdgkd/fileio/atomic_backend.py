# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from .checksum import write_with_checksum
from .files import atomic_write


class AtomicBackend(LocalBackend):
    """MMEngine's files on the disk, written whole or not at all.

    What is written through it appears under its name only when it is complete
    and on the disk, and checkpoints carry a checksum. MMEngine uses it where
    ``backend_args=dict(backend='atomic')`` is given.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes.

        Args:
            obj (bytes): They.
            filepath (str or Path): The file; its folder is made if need be.
        """
        with atomic_write(str(filepath), 'wb') as file:
            write_with_checksum(file, obj)

    def put_text(self,
                 obj: str,
                 filepath: Union[str, Path],
                 encoding: str = 'utf-8') -> None:
        """Write a text.

        Args:
            obj (str): It.
            filepath (str or Path): The file; its folder is made if need be.
            encoding (str): Its encoding. Defaults to ``'utf-8'``.
        """
        with atomic_write(str(filepath), 'wb') as file:
            file.write(obj.encode(encoding))


register_backend('atomic', AtomicBackend)
