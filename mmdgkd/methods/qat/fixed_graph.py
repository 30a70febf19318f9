# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A trained quantized network with constant ranges."""
import copy
from typing import Any

import torch
from mmrazor.models.algorithms import MMArchitectureQuant
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from mmdgkd.errors import ConfigError


class FixedFakeQuantize(nn.Module):
    """Rounds activations to the levels of a constant range.

    Unlike PyTorch's modules it has no switches, so that it can be exported.

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
        # PyTorch's function cannot be exported.
        levels = (inputs * (1 / self.scale)).round() + self.zero_point
        levels = levels.clamp(self.quant_min, self.quant_max)
        return (levels - self.zero_point) * self.scale


def fixed_graph(model: MMArchitectureQuant) -> nn.Module:
    """A copy of the quantized network without MMRazor's modules.

    Batch normalization is folded, weights have the values of their levels,
    activations are rounded to theirs.

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
    with torch.no_grad():
        quantizer.post_process_for_deploy(
            graph, update_weight_with_fakequant=True)
    # A module may be used in several places.
    for name, module in list(graph.named_modules(remove_duplicate=False)):
        if isinstance(module, FakeQuantizeBase):
            parent, _, child = name.rpartition('.')
            setattr(
                graph.get_submodule(parent), child, FixedFakeQuantize(module))
    return graph.eval()
