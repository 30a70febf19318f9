# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .chain_progress_hook import ChainProgressHook
from .fast_network_hook import FastNetworkHook
from .lazy_runtime_info_hook import LazyRuntimeInfoHook
from .ledger_hook import LedgerHook, progress_of
from .logit_store_hook import LogitStoreHook
from .step_seed_hook import StepSeedHook

__all__ = [
    'ChainProgressHook', 'FastNetworkHook', 'LazyRuntimeInfoHook',
    'LedgerHook', 'LogitStoreHook', 'StepSeedHook', 'progress_of'
]
