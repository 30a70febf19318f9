# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Names of files with a checksum of their content."""
import hashlib
import re

_DIGEST = re.compile(r'-([0-9a-f]{16})\.[a-z]+$')


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


def matches(name: str, data: bytes) -> bool:
    """Whether a content matches the checksum in its name.

    Args:
        name (str): The name.
        data (bytes): The content.
    """
    found = _DIGEST.search(name)
    return found is not None and found[1] == _digest_of(data)


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
