# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .chain import Chain, Network, guides_of
from .distributed import end_processes, fit_to_device, start_processes
from .hooks import ChainProgressHook, LazyRuntimeInfoHook, LedgerHook
from .ledger import Ledger
from .optim import CPUAmpOptimWrapper
from .runner import ChainRunner

__all__ = [
    'CPUAmpOptimWrapper', 'Chain', 'ChainProgressHook', 'ChainRunner',
    'LazyRuntimeInfoHook', 'Ledger', 'LedgerHook', 'Network', 'end_processes',
    'fit_to_device', 'guides_of', 'start_processes'
]
