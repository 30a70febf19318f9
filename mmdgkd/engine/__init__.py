# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .chain import Chain, Network, guides_of
from .distributed import end_processes, fit_to_device, start_processes
from .hooks import (AtomicCheckpointHook, ChainProgressHook, DataOnlyHook,
                    FastNetworkHook, FiniteLossHook, GeneratedImagesHook,
                    LazyRuntimeInfoHook, LedgerHook, LiveProgressHook,
                    LogitStoreHook, StepSeedHook, StopHook)
from .ledger import Ledger
from .logit_store import LogitStore
from .loops import ResumableEpochLoop, ResumableIterLoop
from .optim import (CPUAmpOptimWrapper, GeneratorOptimWrapperConstructor,
                    JointOptimWrapperDict)
from .runner import ChainRunner
from .stopping import StopSignals

__all__ = [
    'AtomicCheckpointHook', 'CPUAmpOptimWrapper', 'Chain', 'ChainProgressHook',
    'ChainRunner', 'DataOnlyHook', 'FastNetworkHook', 'FiniteLossHook',
    'GeneratedImagesHook', 'GeneratorOptimWrapperConstructor',
    'JointOptimWrapperDict', 'LazyRuntimeInfoHook', 'Ledger', 'LedgerHook',
    'LiveProgressHook', 'LogitStore', 'LogitStoreHook', 'Network',
    'ResumableEpochLoop', 'ResumableIterLoop', 'StepSeedHook', 'StopHook',
    'StopSignals', 'end_processes', 'fit_to_device', 'guides_of',
    'start_processes'
]
