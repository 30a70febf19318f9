# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .atomic_backend import AtomicBackend
from .checkpoint import checkpoint_meta, read_checkpoint, write_weights
from .files import no_room_in_words, remove_parts, sha256_of, whole_file
from .seal import is_whole, write_sealed

__all__ = [
    'AtomicBackend', 'checkpoint_meta', 'is_whole', 'no_room_in_words',
    'read_checkpoint', 'remove_parts', 'sha256_of', 'whole_file',
    'write_sealed', 'write_weights'
]
