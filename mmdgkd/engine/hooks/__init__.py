# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .chain_progress_hook import ChainProgressHook
from .curves_resume_hook import CurvesResumeHook
from .data_only_hook import DataOnlyHook
from .fast_network_hook import FastNetworkHook
from .finite_loss_hook import FiniteLossHook
from .generated_images_hook import GeneratedImagesHook
from .group_fisher_hook import GroupFisherHook
from .gslr_hook import GSLRHook
from .init_from_hook import InitFromHook
from .lazy_runtime_info_hook import LazyRuntimeInfoHook
from .ledger_hook import LedgerHook, progress_of
from .live_progress_hook import LiveProgressHook
from .logit_store_hook import LogitStoreHook
from .qat_hook import QATHook
from .sample_classes_hook import SampleClassesHook
from .step_seed_hook import StepSeedHook
from .stop_hook import StopHook
from .subnet_search_hook import SubnetSearchHook

__all__ = [
    'AtomicCheckpointHook', 'ChainProgressHook', 'CurvesResumeHook',
    'DataOnlyHook', 'FastNetworkHook', 'FiniteLossHook', 'GSLRHook',
    'GeneratedImagesHook', 'GroupFisherHook', 'InitFromHook',
    'LazyRuntimeInfoHook', 'LedgerHook', 'LiveProgressHook', 'LogitStoreHook',
    'QATHook', 'SampleClassesHook', 'StepSeedHook', 'StopHook',
    'SubnetSearchHook', 'progress_of'
]
