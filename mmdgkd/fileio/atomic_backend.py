# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from .files import whole_file
from .seal import write_sealed


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
        with whole_file(str(filepath), 'wb') as file:
            write_sealed(file, obj)

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
        with whole_file(str(filepath), 'wb') as file:
            file.write(obj.encode(encoding))


register_backend('atomic', AtomicBackend)
