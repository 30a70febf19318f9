# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .chain_progress_hook import ChainProgressHook
from .lazy_runtime_info_hook import LazyRuntimeInfoHook
from .ledger_hook import LedgerHook, progress_of

__all__ = [
    'ChainProgressHook', 'LazyRuntimeInfoHook', 'LedgerHook', 'progress_of'
]
