# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Dict, Type

import torch
from mmrazor.models.mutables import DCFFChannelUnit
from mmrazor.registry import MODELS
from torch import nn

from .fused_conv2d import FusedConv2d


@MODELS.register_module()
class FusionChannelUnit(DCFFChannelUnit):
    """MMRazor's ``DCFFChannelUnit`` with the fusion in its state dict.

    A network pruned by ``DCFF`` can then be resumed, loaded, tested and
    exported. Before the first fusion a layer uses its first filters.

    The weights keep their names, so that the network can start from those of
    an unpruned one.

    Args:
        num_channels (int): Channels of the unpruned network.
        **kwargs: As for ``DCFFChannelUnit``.
    """

    def __init__(self, num_channels: int, **kwargs: Any) -> None:
        super().__init__(num_channels, **kwargs)
        self._convs = 0

    def prepare_for_pruning(self, model: nn.Module) -> None:
        """Replace modules by MMRazor's dynamic ones.

        Args:
            model (nn.Module): The network.
        """
        super().prepare_for_pruning(model)
        for channel in self.output_related:
            conv = channel.module
            if isinstance(conv, FusedConv2d):
                name = f'fusion_{self._convs}'
                self._convs += 1
                self.register_buffer(name, torch.eye(conv.out_channels))
                conv.keep_in(
                    partial(self._read, name), partial(self._write, name))

    def _replace_with_dynamic_ops(self, model: nn.Module,
                                  dynamicop_map: Dict[Type, Type]) -> None:
        super()._replace_with_dynamic_ops(
            model, {
                **dynamicop_map, nn.Conv2d: FusedConv2d
            })

    def _read(self, name: str) -> torch.Tensor:
        left = int(self.mutable_channel.current_mask.sum())
        return getattr(self, name)[:left]

    def _write(self, name: str, fusion: torch.Tensor) -> None:
        getattr(self, name)[:len(fusion)] = fusion
