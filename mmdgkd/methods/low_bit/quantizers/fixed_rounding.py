# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Tuple

import torch
from torch import nn

from mmdgkd.methods.qat.fixed_graph import FixedFakeQuantize


class FixedRounding(FixedFakeQuantize):
    """Rounds the inputs of a layer to levels that nothing changes any more.

    What an :class:`ActQuantizer` does after its training, by the same
    arithmetic and without its switches, so that it can be exported.

    Args:
        step (float): Between two levels.
        low (int): The smallest level.
        high (int): The largest one.
        to_levels (bool): Give the levels as they are, integers, instead
            of their values. Defaults to False.
    """

    def __init__(self,
                 step: float,
                 low: int,
                 high: int,
                 to_levels: bool = False) -> None:
        nn.Module.__init__(self)
        self.scale, self.zero_point = step, 0
        self.quant_min, self.quant_max = low, high
        self.to_levels = to_levels

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs on those levels."""
        # Levels of reduced precision would be no multiples of a step.
        levels = (inputs.float() / self.scale).clamp(self.quant_min,
                                                     self.quant_max).round()
        levels = levels if self.to_levels else levels * self.scale
        return levels.to(inputs.dtype)


def round_inputs(layer: nn.Module, rounding: FixedRounding) -> None:
    """Have a layer round its input first, as a part of it, ``rounding``.

    Args:
        layer (nn.Module): It; it is changed.
        rounding (FixedRounding): How.
    """
    layer.add_module('rounding', rounding)
    layer.register_forward_pre_hook(_round_input)


def _round_input(layer: Any, inputs: Tuple[Any, ...]) -> Tuple[Any, ...]:
    return (layer.rounding(inputs[0]), *inputs[1:])
