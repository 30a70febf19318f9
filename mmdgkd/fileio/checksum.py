# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A checksum inside of the file that it belongs to.

A file of ``torch.save`` is a zip archive, and an archive may end in a comment.
The comment holds the sha256 of all before it: one file, renamed atomically,
that every other program reads as before. PyTorch itself does not notice a
flipped bit.
"""
import hashlib
import os
import zipfile
from typing import IO, Optional

_MARK = b'mmdgkd sha256 '
_LENGTH = len(_MARK) + 64
# The last two bytes of an archive without a comment: its length.
_NONE = b'\0\0'


def write_with_checksum(file: IO[bytes], data: bytes) -> None:
    """Write an archive with its checksum, and other data as they are.

    Args:
        file (IO[bytes]): The file, opened.
        data (bytes): Its content, such as ``torch.save`` makes.
    """
    # The end of an archive without a comment is 22 bytes long.
    if data[-22:-18] != b'PK\x05\x06' or data[-2:] != _NONE:
        file.write(data)
        return
    file.write(memoryview(data)[:-2])
    digest = hashlib.sha256(data).hexdigest().encode()
    file.write(_LENGTH.to_bytes(2, 'little') + _MARK + digest)


def checksum_matches(path: str) -> Optional[bool]:
    """Check a file against its checksum.

    Args:
        path (str): The file.

    Returns:
        bool, optional: False if it does not match, or if the file is an
        archive that is cut off; None if there is no checksum.
    """
    with open(path, 'rb') as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(4)
        file.seek(max(size - _LENGTH, 0))
        comment = file.read()
        if not comment.startswith(_MARK):
            if head == b'PK\x03\x04' and not zipfile.is_zipfile(path):
                return False
            return None
        file.seek(0)
        digest, left = hashlib.sha256(), size - _LENGTH - len(_NONE)
        while left > 0:
            block = file.read(min(left, 1 << 20))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
    digest.update(_NONE)
    return digest.hexdigest().encode() == comment[len(_MARK):]
