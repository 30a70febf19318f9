# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A network that was trained quantized, with all ranges fixed."""
import copy
from typing import Any

import torch
from mmrazor.models.algorithms import MMArchitectureQuant
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from mmdgkd.errors import ConfigError


class FixedFakeQuantize(nn.Module):
    """Rounds activations to the levels of a range that nothing changes.

    Unlike PyTorch's modules it has no switches, so that it can be exported.

    Args:
        learned (FakeQuantizeBase): One for whole tensors.
    """

    # Its outputs jump from level to level, see has_levels().
    rounds_to_levels = True

    def __init__(self, learned: Any) -> None:
        super().__init__()
        self.scale = float(learned.scale)
        self.zero_point = round(float(learned.zero_point))
        self.quant_min = int(learned.quant_min)
        self.quant_max = int(learned.quant_max)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs on those levels."""
        # PyTorch's own function cannot be exported.
        levels = (inputs * (1 / self.scale)).round() + self.zero_point
        levels = levels.clamp(self.quant_min, self.quant_max)
        return (levels - self.zero_point) * self.scale


def fixed_graph(model: MMArchitectureQuant) -> nn.Module:
    """The quantized network alone, as a copy without MMRazor's modules.

    Batch normalization is folded, weights have the values of their levels,
    activations are rounded to theirs.

    Args:
        model (MMArchitectureQuant): It, with a quantizer of a backend.

    Returns:
        nn.Module: In eval mode; called with (inputs, None, 'tensor').

    Raises:
        ConfigError: If its quantizer is for research only.
    """
    quantizer = model.quantizer
    if not hasattr(quantizer, 'post_process_for_deploy'):
        raise ConfigError(
            f'model.quantizer.type: {type(quantizer).__name__} has nothing to '
            'deploy with; use OpenVINOQuantizer, TensorRTQuantizer or '
            'TorchNativeQuantizer')
    graph = copy.deepcopy(model.qmodels['tensor']).cpu().eval()
    with torch.no_grad():
        quantizer.post_process_for_deploy(
            graph, update_weight_with_fakequant=True)
    # One of them may stand in several places.
    for name, module in list(graph.named_modules(remove_duplicate=False)):
        if isinstance(module, FakeQuantizeBase):
            parent, _, child = name.rpartition('.')
            setattr(
                graph.get_submodule(parent), child, FixedFakeQuantize(module))
    return graph.eval()
