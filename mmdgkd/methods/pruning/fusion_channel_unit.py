# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple, Type

import torch
from mmrazor.models.architectures.dynamic_ops import FuseConv2d
from mmrazor.models.mutables import DCFFChannelUnit
from mmrazor.registry import MODELS
from torch import nn


class FusedConv2d(FuseConv2d):
    """MMRazor's ``FuseConv2d``, whose fusion is stored in its channel unit.

    DCFF (arXiv 2107.06916) computes with ``k`` filters, each a weighted sum of
    all ``n``. MMRazor keeps the weights of these sums in the module, in no
    state dict: a loaded or resumed network would compute with the first ``k``
    filters instead.
    """

    # None in a layer whose own channels are not pruned.
    _read: Optional[Callable[[], torch.Tensor]] = None

    def keep_in(self, read: Callable[[], torch.Tensor],
                write: Callable[[torch.Tensor], None]) -> None:
        """Set where the fusion is stored.

        Args:
            read (Callable): Returns it, shape (k, n).
            write (Callable): Stores a new one of that shape.
        """
        self._read, self._write = read, write

    def set_forward_args(self, choice: torch.Tensor) -> None:
        """Store a new fusion.

        Args:
            choice (torch.Tensor): Shape (k, n).
        """
        self._write(choice)

    def _get_dynamic_params_by_mutable_channels(
        self, weight: torch.Tensor, bias: Optional[torch.Tensor]
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        if self._read is None:
            return super()._get_dynamic_params_by_mutable_channels(
                weight, bias)
        return self._get_dynamic_params_by_mutable_channels_choice(
            weight, bias, choice=self._read())


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
