# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A trained quantized network with constant ranges."""
import copy
from typing import Any, Optional, Tuple

import torch
# It registers the operators of 8 bits, which converters know.
import torch.ao.quantization.fx._decomposed  # noqa: F401
from mmrazor.models.algorithms import MMArchitectureQuant
from torch import nn
from torch.ao.quantization import FakeQuantizeBase
from torch.nn.utils import parametrize

from mmdgkd.errors import ConfigError


class FixedFakeQuantize(nn.Module):
    """Rounds activations to the levels of a constant range.

    Unlike PyTorch's modules it has no switches, so that it can be exported.
    Levels of at most 8 bits are of type int8 or uint8, with which a converted
    program computes.

    Args:
        learned (FakeQuantizeBase): A trained one, per tensor.
    """

    # Its outputs are discontinuous, see has_levels().
    rounds_to_levels = True

    def __init__(self, learned: Any) -> None:
        super().__init__()
        self.scale = float(learned.scale)
        self.zero_point = round(float(learned.zero_point))
        self.quant_min = int(learned.quant_min)
        self.quant_max = int(learned.quant_max)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Round the inputs."""
        low, high = self.quant_min, self.quant_max
        kind = type_of_levels(low, high)
        if kind is None:
            # PyTorch's function cannot be exported.
            levels = (inputs * (1 / self.scale)).round() + self.zero_point
            levels = levels.clamp(low, high)
            return (levels - self.zero_point) * self.scale
        if high - low < 255:
            # A converted program has all levels of the type.
            inputs = inputs.clamp((low - self.zero_point) * self.scale,
                                  (high - self.zero_point) * self.scale)
        facts = (self.scale, self.zero_point, low, high, kind)
        ops = torch.ops.quantized_decomposed
        return ops.dequantize_per_tensor(
            ops.quantize_per_tensor(inputs, *facts), *facts)


class FixedLevels(nn.Module):
    """A parametrization: the values of weights from levels of type int8.

    Levels from 0 to 255 are moved by 128, which changes no value. A scale for
    all weights becomes one for each channel.

    Args:
        learned (FakeQuantizeBase): A trained one of at most 8 bits, per tensor
            or per channel.
        weight (Tensor): The weights, at least of two dimensions.
    """

    def __init__(self, learned: Any, weight: torch.Tensor) -> None:
        super().__init__()
        moved = 128 * (learned.quant_max > 127)
        self.low, self.high = (
            int(level) - moved
            for level in (learned.quant_min, learned.quant_max))
        self.axis = max(0, learned.ch_axis)
        channels = weight.shape[self.axis]
        for name, value in (('scale', learned.scale.float()),
                            ('zero_point',
                             learned.zero_point.round().long() - moved)):
            self.register_buffer(name, value.detach().expand(channels).clone())

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """The weights, of the shape of their levels."""
        return torch.ops.quantized_decomposed.dequantize_per_channel(
            levels, self.scale, self.zero_point, self.axis, self.low,
            self.high, torch.int8)

    def right_inverse(self, weight: torch.Tensor) -> Tuple[torch.Tensor]:
        """The levels of weights that have the values of levels."""
        shape = [1] * weight.dim()
        shape[self.axis] = -1
        scale, zero = (x.reshape(shape) for x in (self.scale, self.zero_point))
        levels = ((weight / scale).round() + zero).clamp(self.low, self.high)
        # PyTorch lets one of several have another type, but not a tensor.
        return (levels.to(torch.int8), )


def type_of_levels(low: int, high: int) -> Optional[torch.dtype]:
    """The type of 8 bits that has all levels, if there is one."""
    for kind in (torch.uint8, torch.int8):
        limits = torch.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return kind
    return None


def fixed_graph(model: MMArchitectureQuant) -> nn.Module:
    """A copy of the quantized network without MMRazor's modules.

    Batch normalization is folded, weights of at most 8 bits are levels and
    scales, activations are rounded to their levels.

    Args:
        model (MMArchitectureQuant): A model with a quantizer for a backend.

    Returns:
        nn.Module: In eval mode; called with (inputs, None, 'tensor').

    Raises:
        ConfigError: If its quantizer is for research only.
    """
    quantizer = model.quantizer
    if not hasattr(quantizer, 'post_process_for_deploy'):
        raise ConfigError(
            f'model.quantizer.type: {type(quantizer).__name__} cannot '
            'deploy; use OpenVINOQuantizer, TensorRTQuantizer or '
            'TorchNativeQuantizer')
    graph = copy.deepcopy(model.qmodels['tensor']).cpu().eval()
    learned = {
        name: module.weight_fake_quant
        for name, module in graph.named_modules()
        if hasattr(module, 'weight_fake_quant')
    }
    with torch.no_grad():
        quantizer.post_process_for_deploy(
            graph, update_weight_with_fakequant=True)
    # A module may be used in several places.
    for name, module in list(graph.named_modules(remove_duplicate=False)):
        if isinstance(module, FakeQuantizeBase):
            parent, _, child = name.rpartition('.')
            setattr(
                graph.get_submodule(parent), child, FixedFakeQuantize(module))
    for name, rounding in learned.items():
        module = graph.get_submodule(name)
        # A fused one is a layer and its ReLU.
        layer = module[0] if isinstance(module, nn.Sequential) else module
        if type_of_levels(rounding.quant_min, rounding.quant_max):
            layer.weight.requires_grad_(False)
            parametrize.register_parametrization(
                layer,
                'weight',
                FixedLevels(rounding, layer.weight),
                unsafe=True)
    return graph.eval()
