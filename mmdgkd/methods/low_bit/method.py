# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Low-bit networks in a chain, and their export as integers."""
import copy
import os.path as osp
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import write_weights
from mmdgkd.methods.low_bit.quantizers.integers import (integer_network,
                                                        integer_tensors,
                                                        packed_bytes)
from mmdgkd.methods.stage_options import (Weights, refuse_deliveries,
                                          refuse_fixed_graphs)
from mmdgkd.models.utils.networks import static_form
from mmdgkd.utils.config import type_of
from mmdgkd.utils.same_logits import logits_match
from .few_bit_network import FewBitNetwork
from .speq import SPEQ


@dataclass(frozen=True)
class IntegerFacts:
    """A file of integers and steps.

    Attributes:
        path (str): The file.
        weights (int): Number of integer weights.
        size (int): Bytes of the file, with one byte for each of them.
        packed (int): Bytes of them, packed to their bits.
        others (int): Bytes of all other numbers, almost all floats.
        error (float): The largest absolute difference of a logit from the
            network's.
    """

    path: str
    weights: int
    size: int
    packed: int
    others: int
    error: float

    def __str__(self) -> str:
        floats = 4 * self.weights + self.others
        return (f'{self.path}: {self.weights:,} weights as integers, '
                f'{8 * self.packed / self.weights:.2f} bits each on average: '
                f'{self.packed:,} bytes, and {self.others:,} for all else '
                f'(all as floats: {floats:,}); the file uses a byte for each, '
                f'{self.size:,} in total; largest error {self.error:.2g}')


@register_method
class LowBit(Method):
    """:class:`FewBitNetwork` and :class:`SPEQ`: low-bit weights."""

    algorithms = (FewBitNetwork, )

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network with its float weights."""
        if not isinstance(model, FewBitNetwork):
            return ()
        return (model.plain_network(), )

    def check(self, stage: CheckedStage) -> None:
        """Refuse options that use the weights from before the rounding.

        The network would be trained in float, without an error.
        """
        if isinstance(stage.model, FewBitNetwork):
            check_few_bits(stage.name, stage.config, stage.model)

    def export_extra(self, model: nn.Module, images: torch.Tensor, path: str,
                     save_as: str) -> Optional[IntegerFacts]:
        """Write the weights as integers and their steps, ``<stem>_int.*``.

        Raises:
            ConfigError: If sums of these integers do not give the logits of
                the network.
        """
        if not isinstance(model, FewBitNetwork):
            return None
        path = f'{osp.splitext(path)[0]}_int.{save_as}'
        model = copy.deepcopy(model).cpu().float().eval()
        tensors = integer_tensors(model)
        rebuilt = integer_network(model.plain_network(), tensors)
        inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
        with torch.no_grad():
            wanted = model(inputs, mode='tensor')
            found = rebuilt(inputs, None, 'tensor')
        error = float((found - wanted).abs().max())
        if not logits_match(found, wanted, rebuilt):
            raise ConfigError(f'{path}: the integers give other logits (by up'
                              f' to {error:.3g}); nothing is written')
        write_weights(path, tensors, dict(holds='levels and steps'))
        packed, others = packed_bytes(tensors)
        return IntegerFacts(
            path=path,
            weights=sum(data.numel() for name, data in tensors.items()
                        if f'{name}_bits' in tensors),
            size=osp.getsize(path),
            packed=packed,
            others=others,
            error=error)

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """SPEQ is distilled from itself."""
        if type_of(model) != SPEQ.__name__:
            return None
        return 'SPEQ', 'itself at drawn precisions'


def check_few_bits(name: str, stage: Config, model: FewBitNetwork) -> None:
    """Refuse options that do not fit weights made in each forward.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        model (FewBitNetwork): Its network.

    Raises:
        ConfigError: For such an option.
    """
    key = f'chain.networks.{name}'
    why = f'{key} gets its low-bit weights in each step'
    refuse_fixed_graphs(stage, why)
    if stage.get('efficient_conv_bn_eval'):
        raise ConfigError(f'efficient_conv_bn_eval: {why}; leave it out')
    if not isinstance(model, SPEQ):
        return
    if (type_of(stage.model) == 'DenseDAFL'
            or stage.model.get('task_loss_weight') == 0):
        raise ConfigError(
            f"{key}.model.type: the loss of SPEQ is one of the network's own, "
            'which have weight 0 here (task_loss_weight); use FewBitNetwork, '
            'or a weight above 0')
    refuse_deliveries(stage, f'{key} runs twice in a step')


@static_form.register
def _(algorithm: FewBitNetwork) -> nn.Module:
    return algorithm.fixed_network()
