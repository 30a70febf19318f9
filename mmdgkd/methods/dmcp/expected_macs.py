# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Operations of a network of fractional numbers of channels."""
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch
from mmrazor.models.architectures.dynamic_ops import (DynamicConv2d,
                                                      DynamicLinear)
from mmrazor.models.mutables import DerivedMutable
from torch import nn

# The input or output of a layer: its units, or None, and the most channels of
# each.
_Side = List[Tuple[Any, int]]


class ExpectedMacs:
    """Counts operations by the channels of units (arXiv 2005.03354, eq. 9).

    MMRazor's counters use the expected number of output channels of a layer,
    but all of its input channels.

    Args:
        network (nn.Module): A network of MMRazor's dynamic layers, on the CPU.
        units (Sequence[nn.Module]): Its units of channels.
        input_shape (Sequence[int]): Shape (C, H, W) of an image.
    """

    def __init__(self, network: nn.Module, units: Sequence[nn.Module],
                 input_shape: Sequence[int]) -> None:
        known = {id(unit.mutable_channel): i for i, unit in enumerate(units)}
        self._totals = [unit.num_channels for unit in units]
        positions: Dict[nn.Module, int] = {}

        def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
            positions[layer] = positions.get(layer, 0) + (
                output[0, 0].numel() if output.dim() == 4 else 1)

        handles = [
            layer.register_forward_hook(count) for layer in network.modules()
            if isinstance(layer, (DynamicConv2d, DynamicLinear))
        ]
        training = network.training
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape), mode='tensor')
        network.train(training)
        for handle in handles:
            handle.remove()
        self._layers: List[Tuple[int, _Side, _Side]] = []
        for layer, times in positions.items():
            sides = [
                _side(layer.get_mutable_attr(name), known)
                for name in ('in_channels', 'out_channels')
            ]
            if isinstance(layer, DynamicConv2d):
                times *= layer.kernel_size[0] * layer.kernel_size[1]
                if layer.groups > 1:
                    # MMRazor prunes depthwise convolutions alone.
                    sides[0] = [(None, 1)]
            self._layers.append((times, *sides))

    def __call__(self, channels: Sequence[Any]) -> Any:
        """The multiply-accumulate operations.

        Args:
            channels (Sequence[int | float | torch.Tensor]): Of each unit.

        Returns:
            int | float | torch.Tensor: Those of one image; differentiable in
            the channels.
        """

        def of(side: _Side) -> Any:
            return sum(most if unit is None else channels[unit] *
                       (most / self._totals[unit]) for unit, most in side)

        return sum(times * of(before) * of(after)
                   for times, before, after in self._layers)


def _side(container: nn.Module, known: Mapping[int, int]) -> _Side:
    side: _Side = []
    covered = 0
    for (start, end), mutable in container.mutable_channels.items():
        if isinstance(mutable, DerivedMutable):
            mutable, = mutable.source_mutables
        side.append((known.get(id(mutable)), end - start))
        covered += end - start
    if covered < container.num_channels:
        side.append((None, container.num_channels - covered))
    return side
