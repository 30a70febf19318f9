# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor's quantizers."""
from .method import QAT
from .qat_hook import QATHook

__all__ = ['QAT', 'QATHook']
