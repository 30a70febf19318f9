# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A low-bit network as integers and their steps."""
import copy
from typing import Any, Dict, Mapping, Tuple

import torch
from torch import nn

from mmdgkd.errors import ConfigError
from .fixed_rounding import FixedRounding, round_inputs

# Keys beside the weights of a layer: their step, their bits, and for its input
# the step, the smallest and the largest level.
_STEP, _BITS, _INPUT = 'weight_step', 'weight_bits', 'input_levels'


def integer_tensors(model: Any) -> Dict[str, torch.Tensor]:
    """The tensors to run a low-bit network with integers.

    Args:
        model (FewBitNetwork): The trained network.

    Returns:
        dict[str, torch.Tensor]: The state dict of the network, with low-bit
        weights as their levels, int8. For their layers also
        ``<layer>.weight_step``, float32, ``<layer>.weight_bits``, int8, and,
        if activations are quantized, ``<layer>.input_levels``, float32 of
        shape (3, ): step, smallest and largest level.
    """
    tensors = {
        name: data.detach().cpu().clone().contiguous()
        for name, data in model.plain_network().state_dict().items()
    }
    for key, parts in model.quantizers.items():
        layer, quantizer = key.replace('-', '.'), parts['weight']
        weight = model.architecture.get_submodule(layer).weight
        tensors[f'{layer}.weight'] = quantizer.levels_of(
            weight).cpu().contiguous()
        tensors[f'{layer}.{_STEP}'] = quantizer.step_of(
            weight).detach().cpu().clone()
        tensors[f'{layer}.{_BITS}'] = torch.tensor(
            quantizer.bits, dtype=torch.int8)
        levels = parts['act'].levels() if 'act' in parts else None
        if levels is not None:
            tensors[f'{layer}.{_INPUT}'] = torch.tensor(levels)
    return tensors


def integer_network(network: nn.Module,
                    tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """A network that computes its sums of products with integers.

    Layers of quantized weights and inputs multiply and add integers alone,
    stored as floats, which are exact up to 2^24; their outputs are then
    multiplied by the two steps. The others have integer weights and float
    inputs.

    Args:
        network (nn.Module): The plain network, of any weights.
        tensors (Mapping[str, torch.Tensor]): Of :func:`integer_tensors`.

    Returns:
        nn.Module: A copy in eval mode.

    Raises:
        ConfigError: If the tensors are not those of this network.
    """
    network, rest = copy.deepcopy(network).eval(), dict(tensors)
    scales = {}
    for name in [key for key in tensors if key.endswith(f'.{_STEP}')]:
        name = name.removesuffix(f'.{_STEP}')
        layer = network.get_submodule(name)
        scale = rest.pop(f'{name}.{_STEP}').flatten()
        rest.pop(f'{name}.{_BITS}')
        levels = rest.pop(f'{name}.{_INPUT}', None)
        if levels is not None:
            step, low, high = levels.tolist()
            round_inputs(
                layer,
                FixedRounding(step, int(low), int(high), to_levels=True))
            scale = scale * step
        scales[name] = scale
    try:
        network.load_state_dict(rest)
    except RuntimeError as error:
        raise ConfigError('the integers are not those of the network: '
                          f'{str(error).splitlines()[-1].strip()}') from None
    for name, scale in scales.items():
        layer = network.get_submodule(name)
        # Added after the scaling: it is no integer.
        layer.output_scale, layer.output_bias = scale, layer.bias
        layer.bias = None
        layer.register_forward_hook(_scale_output)
    return network


def packed_bytes(tensors: Mapping[str, torch.Tensor]) -> Tuple[int, int]:
    """The size of the tensors with weights packed to their bits.

    Args:
        tensors (Mapping[str, torch.Tensor]): Of :func:`integer_tensors`.

    Returns:
        tuple[int, int]: The bytes of the low-bit weights, rounded up for each
        layer, and of all other numbers, unpacked.
    """
    packed = others = 0
    for name, data in tensors.items():
        bits = tensors.get(name.removesuffix('weight') + _BITS)
        if name.endswith('.weight') and bits is not None:
            packed += -(-data.numel() * int(bits) // 8)
        else:
            others += data.numel() * data.element_size()
    return packed, others


def _scale_output(layer: Any, inputs: Any,
                  outputs: torch.Tensor) -> torch.Tensor:
    """Multiply the sums of integers by the steps, and add the bias."""
    shape = [1, -1] + [1] * (outputs.dim() - 2)
    outputs = outputs * layer.output_scale.reshape(shape)
    if layer.output_bias is None:
        return outputs
    return outputs + layer.output_bias.reshape(shape)
