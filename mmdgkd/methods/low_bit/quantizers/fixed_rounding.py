# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Tuple

import torch
from torch import nn

from mmdgkd.methods.qat.fixed_graph import FixedFakeQuantize


class FixedRounding(FixedFakeQuantize):
    """Rounds the inputs of a layer to constant levels.

    The arithmetic of a trained :class:`ActQuantizer`, without its switches, so
    that it can be exported.

    Args:
        step (float): Distance of two levels.
        low (int): The smallest level.
        high (int): The largest one.
        to_levels (bool): Return levels, which are integers, instead of their
            values. Defaults to False.
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
        """Round the inputs."""
        # In reduced precision levels would be no multiples of the step.
        levels = (inputs.float() / self.scale).clamp(self.quant_min,
                                                     self.quant_max).round()
        levels = levels if self.to_levels else levels * self.scale
        return levels.to(inputs.dtype)


def round_inputs(layer: nn.Module, rounding: FixedRounding) -> None:
    """Add a rounding of its input to a layer, as the module ``rounding``.

    Args:
        layer (nn.Module): The layer; it is changed.
        rounding (FixedRounding): The rounding.
    """
    layer.add_module('rounding', rounding)
    layer.register_forward_pre_hook(_round_input)


def _round_input(layer: Any, inputs: Tuple[Any, ...]) -> Tuple[Any, ...]:
    return (layer.rounding(inputs[0]), *inputs[1:])
