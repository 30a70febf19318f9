# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from typing import Any, Dict, List, Optional

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.registry import MODELS
from torch import nn
from torch.func import functional_call

from mmdgkd.errors import ConfigError
from mmdgkd.methods.low_bit.quantizers.act_quantizer import ActQuantizer
from mmdgkd.methods.low_bit.quantizers.fixed_rounding import (FixedRounding,
                                                              round_inputs)
from mmdgkd.methods.low_bit.quantizers.weight_quantizer import WeightQuantizer

STEPS = ('learned', 'optimal')


@MODELS.register_module()
class FewBitNetwork(BaseAlgorithm):
    """A network of low-bit weights and, as an option, activations.

    For the ternary networks of Shin, Boo and Sung, "Knowledge Distillation for
    Optimization of Quantized Deep Neural Networks" (arXiv 1909.01688), whose
    quantizer could not be found. Weights are symmetric, at 2 bits -1, 0 and 1,
    with a step for each layer; the steps are learned (LSQ, arXiv 1902.08153)
    or optimal in the L2 norm (:func:`optimal_step`). The float weights stay
    the parameters and gradients pass straight through the rounding.

    MMRazor's ``MMArchitectureQuant`` cannot do this: its graphs are traced, so
    that no recorder finds ``backbone.layer3`` and no layer can change its
    precision from one forward to the next, which :class:`SPEQ` does; and with
    one qconfig for all, the first and the last layer have the low precision of
    the others. Here the modules are those of the network: PyTorch's
    ``functional_call`` replaces their weights in each forward, hooks round
    activations before the layers, and all names and recorders stay.

    Args:
        architecture (dict | BaseModel): The network, no other algorithm.
        weight_bits (int): Bits of the weights of convolutions and linear
            layers, from 2 to 8. Defaults to 2, ternary.
        act_bits (int, optional): Bits of the inputs of these layers, from 2 to
            8. Defaults to None: floats.
        step (str): ``'learned'`` or ``'optimal'``. Defaults to ``'learned'``.
        first_last_bits (int, optional): Bits of the weights of the first and
            the last layer, and of the inputs of the last. Those of the first
            are images, which have 8 bits already, and stay as they are. None:
            both layers stay float. What the paper does there could not be
            found. Defaults to 8.
        per_channel (bool): Whether weights have a step for each output
            channel. Defaults to False: one for each layer.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of MMRazor's
            ``BaseAlgorithm``.

    Attributes:
        inner_layers (tuple[str]): The keys in ``quantizers`` of the layers
            between the first and the last.
        quantizers (nn.ModuleDict): By layer, its name with ``-`` for ``.``:
            ``weight``, a :class:`WeightQuantizer`, and where activations are
            quantized ``act``, an :class:`ActQuantizer`.

    Raises:
        ConfigError: For a value out of its range, or if the network is an
            algorithm itself or has no such layers.
    """

    def __init__(self,
                 architecture: Any,
                 weight_bits: int = 2,
                 act_bits: Optional[int] = None,
                 step: str = 'learned',
                 first_last_bits: Optional[int] = 8,
                 per_channel: bool = False,
                 **kwargs: Any) -> None:
        for key, bits in (('weight_bits', weight_bits), ('act_bits', act_bits),
                          ('first_last_bits', first_last_bits)):
            none = bits is None and key != 'weight_bits'
            if not none and (type(bits) is not int or not 2 <= bits <= 8):
                raise ConfigError(f'model.{key}: {bits!r} should be an integer'
                                  ' from 2 to 8')
        if step not in STEPS:
            raise ConfigError(f'model.step: {step!r} is none of '
                              f'{", ".join(STEPS)}')
        super().__init__(architecture=architecture, **kwargs)
        if isinstance(self.architecture, BaseAlgorithm):
            raise ConfigError(
                'model.architecture.type: '
                f'{type(self.architecture).__name__} is an algorithm itself; '
                'should be a network')
        layers = self._find_layers()
        names = list(layers)
        self.inner_layers = tuple(
            name.replace('.', '-') for name in names[1:-1])
        learned = step == 'learned'
        self.quantizers = nn.ModuleDict()
        for name, layer in layers.items():
            bits, input_bits = weight_bits, act_bits
            if name in (names[0], names[-1]):
                bits = first_last_bits
                input_bits = act_bits and first_last_bits
            if bits is None:
                continue
            parts = dict(
                weight=WeightQuantizer(bits, layer.weight.shape, learned,
                                       per_channel))
            if input_bits is not None and name != names[0]:
                parts['act'] = ActQuantizer(input_bits, learned)
                layer.register_forward_pre_hook(parts['act'].before_layer)
            self.quantizers[name.replace('.', '-')] = nn.ModuleDict(parts)

    def forward(self,
                inputs: torch.Tensor,
                data_samples: Optional[List[BaseDataElement]] = None,
                mode: str = 'tensor') -> Any:
        """Run the network with low-bit weights.

        Args:
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
                Defaults to None.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
                Defaults to ``'tensor'``.
        """
        return self._run(self.quantized_weights(), inputs, data_samples, mode)

    def quantized_weights(self) -> Dict[str, torch.Tensor]:
        """The quantized weights, by their names in the network.

        Computed once in a step, at its beginning.
        """
        found = {}
        for key, parts in self.quantizers.items():
            for quantizer in parts.values():
                quantizer.settle()
            name = key.replace('-', '.')
            weight = self.architecture.get_submodule(name).weight
            found[f'{name}.weight'] = parts['weight'](weight)
        return found

    def fixed_network(self) -> nn.Module:
        """A copy of the network alone, with quantized weights.

        Returns:
            nn.Module: In eval mode, with a :class:`FixedRounding` in each
            layer of quantized inputs.
        """
        network = self.plain_network().eval()
        for key, parts in self.quantizers.items():
            layer = network.get_submodule(key.replace('-', '.'))
            quantizer = copy.deepcopy(parts['weight']).eval()
            with torch.no_grad():
                layer.weight.copy_(quantizer(layer.weight))
            levels = parts['act'].levels() if 'act' in parts else None
            if levels is not None:
                round_inputs(layer, FixedRounding(*levels))
        return network

    def plain_network(self) -> nn.Module:
        """A copy of the network with its float weights alone."""
        network = copy.deepcopy(self.architecture)
        for module in network.modules():
            for key, hook in list(module._forward_pre_hooks.items()):
                if isinstance(getattr(hook, '__self__', None), ActQuantizer):
                    del module._forward_pre_hooks[key]
        return network

    def _run(self, weights: Dict[str, torch.Tensor], inputs: torch.Tensor,
             data_samples: Optional[List[BaseDataElement]], mode: str) -> Any:
        return functional_call(self.architecture, weights,
                               (inputs, data_samples), dict(mode=mode))

    def _find_layers(self) -> Dict[str, nn.Module]:
        layers = {
            name: module
            for name, module in self.architecture.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))
        }
        if len(layers) < 3:
            raise ConfigError(
                f'model.architecture: has {len(layers)} convolutions and '
                'linear layers; should have one at least between the first '
                'and the last')
        return layers
