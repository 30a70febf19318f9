# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Bytes on disk: atomic writes, checksums, weights-only reading."""
from .checkpoint import checkpoint_meta, read_checkpoint, write_weights
from .checksum import checksum_matches, write_with_checksum
from .files import (AtomicBackend, atomic_write, disk_full_as_error,
                    remove_parts, sha256_of)

__all__ = [
    'AtomicBackend', 'checkpoint_meta', 'checksum_matches',
    'disk_full_as_error', 'read_checkpoint', 'remove_parts', 'sha256_of',
    'atomic_write', 'write_with_checksum', 'write_weights'
]
