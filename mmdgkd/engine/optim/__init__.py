# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Optimizer wrappers: mixed precision on the CPU, several optimizers."""
from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .joint_optim_wrapper_dict import JointOptimWrapperDict

__all__ = ['CPUAmpOptimWrapper', 'JointOptimWrapperDict']
