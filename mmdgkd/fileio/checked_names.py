# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Names of files with a checksum of their content."""
import hashlib
import re

_DIGEST = re.compile(r'-([0-9a-f]{16})\.[a-z]+$')


class DamagedFile(ValueError):
    """A file whose content does not match its name."""


def checked_name(stem: str, suffix: str, data: bytes) -> str:
    """The name of a file.

    Args:
        stem (str): Its first part.
        suffix (str): Its last one, such as ``'.npz'``.
        data (bytes): The content.
    """
    return f'{stem}-{_digest_of(data)}{suffix}'


def is_checked(name: str) -> bool:
    """Whether a name has a checksum.

    Args:
        name (str): The name.
    """
    return _DIGEST.search(name) is not None


def checked(name: str, data: bytes) -> bytes:
    """A content, if it matches the checksum in its name.

    Args:
        name (str): The name.
        data (bytes): The content.

    Raises:
        DamagedFile: If it does not.
    """
    found = _DIGEST.search(name)
    if found is None or found[1] != _digest_of(data):
        raise DamagedFile(name)
    return data


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
