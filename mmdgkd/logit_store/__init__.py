# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Cached logits of teachers."""
from .encoding import RowForm, check_form
from .logit_file import LogitFile, file_bytes, read_header
from .logit_store import LogitStore
from .logit_store_hook import LogitStoreHook

__all__ = [
    'LogitFile', 'LogitStore', 'LogitStoreHook', 'RowForm', 'check_form',
    'file_bytes', 'read_header'
]
