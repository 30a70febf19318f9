# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Optional, Tuple

import torch
from mmengine.dist import all_reduce
from torch import nn

from .functions import (SMALLEST_STEP, level_range, optimal_step, quantize,
                        scale_gradient)

# Number of values of a batch for which the optimal step is computed.
_VALUES = 1 << 14
# Weight of a batch in the moving average of optimal steps.
_MOMENTUM = 0.1


class ActQuantizer(nn.Module):
    """Quantizes activations, to levels from 0 on where none is negative.

    The first training batch decides whether there are levels below 0, and the
    first step: the optimal one of evenly spaced values of it, the mean over
    processes. A learned step (LSQ, arXiv 1902.08153) is a parameter from then
    on, its gradient divided by ``sqrt(n high)`` of the n features of an image;
    another one is the moving average of the optimal steps of batches. Before
    the first batch activations are not quantized.

    Args:
        bits (int): From 2 to 8.
        learned (bool): Whether the step is learned. Defaults to True.

    Attributes:
        bits_now (int, optional): Another number of bits for now, with the same
            largest value, and so another step. None: ``bits``.
        observing (bool): Whether batches may set the step. True by default.
    """

    def __init__(self, bits: int, learned: bool = True) -> None:
        super().__init__()
        self.bits, self.learned = bits, learned
        self.bits_now: Optional[int] = None
        self.observing = True
        if learned:
            self.step = nn.Parameter(torch.ones(()))
        else:
            self.register_buffer('step', torch.ones(()))
        for name in ('begun', 'signed'):
            self.register_buffer(name, torch.zeros((), dtype=torch.uint8))
        # Set by settle(): no synchronization with a GPU in each step.
        self._begun = self._signed = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Quantize activations: each becomes a level times the step.

        Args:
            x (torch.Tensor): Shape (N, ...), also that of the result.
        """
        # In reduced precision levels would be no multiples of the step.
        values = x.float()
        if self.training and self.observing:
            self._observe(values.detach())
        if not self._has_begun():
            return x
        step, low, high = self._levels()
        if self.learned:
            count = values[:1].numel()
            step = scale_gradient(step, (count * high)**-.5)
        return quantize(values, step, low, high).to(x.dtype)

    def before_layer(self, layer: nn.Module,
                     inputs: Tuple[Any, ...]) -> Tuple[Any, ...]:
        """Quantize the input of a layer: a forward pre-hook."""
        return (self(inputs[0]), *inputs[1:])

    @torch.no_grad()
    def levels(self) -> Optional[Tuple[float, int, int]]:
        """Step, smallest and largest level; None if there are none yet."""
        if not self._has_begun():
            return None
        step, low, high = self._levels()
        return float(step), low, high

    def settle(self) -> None:
        """Cache the state of the first batch; to be called between steps.

        Not within one: a bad step is undone, and with it this state.
        """
        if not self._begun and self._has_begun():
            self._begun, self._signed = True, bool(self.signed)

    def _levels(self) -> Tuple[torch.Tensor, int, int]:
        low, high = level_range(self.bits, self._is_signed())
        step = self.step.abs().clamp_min(SMALLEST_STEP)
        if self.bits_now not in (None, self.bits):
            largest = high
            low, high = level_range(self.bits_now, self._is_signed())
            step = step * (largest / high)
        return step, low, high

    @torch.no_grad()
    def _observe(self, values: torch.Tensor) -> None:
        begun = self._has_begun()
        if begun and self.learned:
            return
        if not begun:
            negative = (values < 0).any().to(torch.uint8)
            all_reduce(negative, op='max')
            self.signed.copy_(negative)
        low, high = level_range(self.bits, self._is_signed())
        flat = values.reshape(-1)
        # An odd distance: with an even one the values of maps of even widths
        # would be of few columns.
        some = flat[::flat.numel() // _VALUES | 1]
        step = optimal_step(some, low, high)
        if begun:
            self.step.lerp_(step, _MOMENTUM)
        else:
            all_reduce(step, op='mean')
            # A step that is not finite is bad, and initializes nothing.
            finite = step.isfinite()
            self.step.copy_(torch.where(finite, step, self.step))
            self.begun.copy_(finite)

    def _has_begun(self) -> bool:
        return self._begun or bool(self.begun)

    def _is_signed(self) -> bool:
        return self._signed if self._begun else bool(self.signed)
