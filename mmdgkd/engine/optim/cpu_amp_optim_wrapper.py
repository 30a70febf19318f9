# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Iterator

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmrazor.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision on the CPU, where ``AmpOptimWrapper`` refuses to run.

    Forwards run under bfloat16 autocast; its range is that of float32, so
    there is no loss scaling. On a processor without bfloat16 it is many times
    slower than float32; a warning says so.

    Args:
        **kwargs: As for MMEngine's ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not computes_in_bfloat16():
            _warn()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """The context of a training forward."""
        with super().optim_context(model), torch.autocast(
                'cpu', dtype=torch.bfloat16):
            yield


def computes_in_bfloat16() -> bool:
    """Whether PyTorch's kernels for this processor have bfloat16."""
    try:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):
        # A PyTorch without oneDNN cannot tell.
        return True


@lru_cache(maxsize=None)
def _warn() -> None:
    """Warn once, not for every stage."""
    print_log(
        '--amp: this processor has no bfloat16, which makes a step many times '
        'slower than in float32; better without it',
        logger='current',
        level=logging.WARNING)
