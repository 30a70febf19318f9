# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Cached logits of teachers."""
from .encoding import RowForm, check_form
from .logit_store import LogitStore
from .logit_store_hook import LogitStoreHook
from .piece import store_bytes

__all__ = [
    'LogitStore', 'LogitStoreHook', 'RowForm', 'check_form', 'store_bytes'
]
