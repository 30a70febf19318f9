# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Hooks of every stage: checkpoints, resume, finite losses, progress."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .chain_progress_hook import ChainProgressHook
from .fast_network_hook import FastNetworkHook
from .finite_loss_hook import FiniteLossHook
from .lazy_runtime_info_hook import LazyRuntimeInfoHook
from .live_progress_hook import LiveProgressHook
from .resume_check_hook import ResumeCheckHook
from .resume_hooks import CurvesResumeHook, DataOnlyHook, StepSeedHook
from .stop_hook import StopHook

__all__ = [
    'AtomicCheckpointHook',
    'ChainProgressHook',
    'CurvesResumeHook',
    'DataOnlyHook',
    'FastNetworkHook',
    'FiniteLossHook',
    'LazyRuntimeInfoHook',
    'LiveProgressHook',
    'ResumeCheckHook',
    'StepSeedHook',
    'StopHook',
]
