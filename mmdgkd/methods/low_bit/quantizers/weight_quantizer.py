# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Tuple

import torch
from mmengine.dist import broadcast
from torch import nn

from .functions import (SMALLEST_STEP, level_range, optimal_step, quantize,
                        scale_gradient)


class WeightQuantizer(nn.Module):
    """Quantizes weights, symmetrically around 0.

    The float weights stay parameters of their layer; this computes the low-bit
    ones from them. A learned step is a parameter, which begins with the
    optimal one of the first training step; its gradient is divided by
    ``sqrt(n high)`` of n weights (LSQ, arXiv 1902.08153, section 2.2). An
    optimal step is a function of the weights alone, computed each time, and
    has no state; gradients then pass to all weights.

    Args:
        bits (int): From 2, for the levels -1, 0 and 1, to 8.
        shape (tuple[int]): The shape of the weights.
        learned (bool): Whether the step is learned. Defaults to True.
        per_channel (bool): Whether there is a step for each output channel.
            Defaults to False: one for the layer.
    """

    def __init__(self,
                 bits: int,
                 shape: Tuple[int, ...],
                 learned: bool = True,
                 per_channel: bool = False) -> None:
        super().__init__()
        self.bits, self.learned = bits, learned
        self.per_channel = per_channel
        self.low, self.high = level_range(bits, signed=True)
        if learned:
            ones = (shape[0], *[1] * (len(shape) - 1)) if per_channel else ()
            self.step = nn.Parameter(torch.ones(ones))
            self.register_buffer('begun', torch.zeros((), dtype=torch.uint8))
            # Set by settle(): no synchronization with a GPU in each step.
            self._begun = False
            self._scale = (torch.Size(shape).numel() * self.high)**-.5
            if per_channel:
                self._scale *= shape[0]**.5

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Quantize weights.

        Args:
            weight (torch.Tensor): The float weights, shape (out, in, ...).

        Returns:
            torch.Tensor: Of the same shape, each a level times the step.
        """
        if not self.learned:
            return quantize(
                weight,
                self.step_of(weight),
                self.low,
                self.high,
                clip_gradient=False)
        if self.training and not self._has_begun():
            with torch.no_grad():
                step = self._optimal(weight)
                # On a GPU the order of sums, and their last bit, may differ.
                broadcast(step)
                self.step.copy_(step)
                self.begun.fill_(1)
        step = scale_gradient(self.step_of(weight), self._scale)
        return quantize(weight, step, self.low, self.high)

    def step_of(self, weight: torch.Tensor) -> torch.Tensor:
        """The current step, above 0.

        Args:
            weight (torch.Tensor): The float weights.

        Returns:
            torch.Tensor: A scalar, or shape (out, 1, ...) by channel.
        """
        if self.learned and self._has_begun():
            return self.step.abs().clamp_min(SMALLEST_STEP)
        return self._optimal(weight)

    @torch.no_grad()
    def levels_of(self, weight: torch.Tensor) -> torch.Tensor:
        """The levels of the weights, int8 of the same shape.

        Args:
            weight (torch.Tensor): The float weights.
        """
        levels = (weight / self.step_of(weight)).clamp(self.low, self.high)
        return levels.round().to(torch.int8)

    def _optimal(self, weight: torch.Tensor) -> torch.Tensor:
        return optimal_step(weight, self.low, self.high, self.per_channel)

    def settle(self) -> None:
        """Cache the state of the first step; to be called between steps.

        Not within one: a bad step is undone, and with it this state.
        """
        if self.learned and not self._begun:
            self._begun = self._has_begun()

    def _has_begun(self) -> bool:
        return self._begun or bool(self.begun)
