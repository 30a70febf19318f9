# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of few levels: before their stage, and as integers after."""
import copy
import os.path as osp
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

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
from mmdgkd.methods.stage_options import refuse_fixed_graphs
from mmdgkd.models.utils.networks import static_form
from mmdgkd.utils.config import type_of
from mmdgkd.utils.same_logits import logits_match
from .few_bit_network import FewBitNetwork
from .speq import SPEQ


def check_few_bits(name: str, stage: Config, model: FewBitNetwork) -> None:
    """See what does not go with weights that are made for each forward.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        model (FewBitNetwork): Its network.

    Raises:
        ConfigError: For an option that does not.
    """
    why = f'chain.networks.{name} gets its weights of few levels in each step'
    refuse_fixed_graphs(stage, why)
    if stage.get('efficient_conv_bn_eval'):
        raise ConfigError(f'efficient_conv_bn_eval: {why}; leave it out')
    if isinstance(model, SPEQ) and (type_of(stage.model) == 'DenseDAFL' or
                                    stage.model.get('task_loss_weight') == 0):
        raise ConfigError(
            f'chain.networks.{name}.model.type: the loss of SPEQ is one of the'
            " network's own, which weigh nothing here (task_loss_weight); use "
            'FewBitNetwork, or weigh them')
    distiller = stage.model.get('distiller') or {}
    if isinstance(model, SPEQ) and distiller.get('distill_deliveries'):
        raise ConfigError(
            f'model.distiller.distill_deliveries: chain.networks.{name} runs '
            'twice in a step, and a delivery is for one run; leave it out')


@dataclass(frozen=True)
class IntegerFacts:
    """What a file of integers and steps is.

    Attributes:
        path (str): The file.
        weights (int): How many weights are integers.
        size (int): Bytes of the file, in which each of them is a byte.
        packed (int): Bytes of them, if each had its bits alone.
        others (int): Bytes of all other numbers, float ones almost all.
        error (float): The largest difference of a logit from the network's.
    """

    path: str
    weights: int
    size: int
    packed: int
    others: int
    error: float

    def __str__(self) -> str:
        floats = 4 * self.weights + self.others
        return (f'{self.path}: {self.weights:,} weights as integers, of '
                f'{8 * self.packed / self.weights:.2f} bits in the mean: '
                f'{self.packed:,} bytes, and {self.others:,} of all else '
                f'(all as floats: {floats:,}); the file has a byte for each, '
                f'{self.size:,} in all; largest error {self.error:.2g}')


def write_integers(model: FewBitNetwork, images: torch.Tensor,
                   path: str) -> IntegerFacts:
    """Write a network of few levels as integers and their steps.

    Args:
        model (FewBitNetwork): It, trained.
        images (torch.Tensor): Some images as the data gives them, shape
            (N, C, H, W).
        path (str): The file to write, ``*.pth`` or ``*.safetensors``.

    Raises:
        ConfigError: If sums of these numbers do not give its logits.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    tensors = integer_tensors(model)
    rebuilt = integer_network(model.plain_network(), tensors)
    inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
    with torch.no_grad():
        wanted = model(inputs, mode='tensor')
        found = rebuilt(inputs, None, 'tensor')
    if not logits_match(found, wanted, rebuilt):
        raise ConfigError(f'{path}: the integers give other logits (by up'
                          f' to {float((found - wanted).abs().max()):.3g}); '
                          'nothing is written')
    write_weights(path, tensors, dict(holds='levels and steps'))
    packed, others = packed_bytes(tensors)
    return IntegerFacts(
        path=path,
        weights=sum(data.numel() for name, data in tensors.items()
                    if f'{name}_bits' in tensors),
        size=osp.getsize(path),
        packed=packed,
        others=others,
        error=float((found - wanted).abs().max()))


@register_method
class LowBit(Method):
    """:class:`FewBitNetwork` and :class:`SPEQ`: weights of few levels."""

    algorithms = (FewBitNetwork, )

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """The network with its float weights."""
        if not isinstance(model, FewBitNetwork):
            return ()
        return (model.plain_network(), )

    def check(self, stage: CheckedStage) -> None:
        """No option may take the weights from before the rounding."""
        if isinstance(stage.model, FewBitNetwork):
            check_few_bits(stage.name, stage.config, stage.model)

    def export_extra(self, model: nn.Module, images: torch.Tensor, path: str,
                     save_as: str) -> Optional[IntegerFacts]:
        """The weights as integers and their steps, ``<stem>_int.*``."""
        if not isinstance(model, FewBitNetwork):
            return None
        stem = osp.splitext(path)[0]
        return write_integers(model, images, f'{stem}_int.{save_as}')

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """SPEQ is distilled from itself."""
        if type_of(model) != SPEQ.__name__:
            return None
        return 'SPEQ', 'itself at drawn precisions'


@static_form.register
def _(algorithm: FewBitNetwork) -> nn.Module:
    return algorithm.fixed_network()
