# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .chain import Chain, Network, guides_of
from .distributed import end_processes, fit_to_device, start_processes
from .hooks import (ChainProgressHook, FastNetworkHook, LazyRuntimeInfoHook,
                    LedgerHook, LogitStoreHook, StepSeedHook)
from .ledger import Ledger
from .logit_store import LogitStore
from .optim import CPUAmpOptimWrapper
from .runner import ChainRunner

__all__ = [
    'CPUAmpOptimWrapper', 'Chain', 'ChainProgressHook', 'ChainRunner',
    'FastNetworkHook', 'LazyRuntimeInfoHook', 'Ledger', 'LedgerHook',
    'LogitStore', 'LogitStoreHook', 'Network', 'StepSeedHook', 'end_processes',
    'fit_to_device', 'guides_of', 'start_processes'
]
