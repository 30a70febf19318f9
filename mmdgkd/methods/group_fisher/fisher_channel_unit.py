# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

import torch
from mmrazor.implementations.pruning.group_fisher import GroupFisherChannelUnit
from mmrazor.registry import MODELS


@MODELS.register_module()
class FisherChannelUnit(GroupFisherChannelUnit):
    """MMRazor's ``GroupFisherChannelUnit`` that can be resumed exactly.

    MMRazor sums in float64 what each batch says of a channel, into a buffer
    that is made as float32: what a checkpoint holds would be rounded when it
    is loaded, and another channel pruned.

    A batch whose gradients are not finite says nothing.

    Args:
        num_channels (int): The channels of the network that is not pruned.
        *args (Any): As for ``GroupFisherChannelUnit``.
        **kwargs (Any): Likewise.
    """

    def __init__(self, num_channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(num_channels, *args, **kwargs)
        self.normalized_fisher_info = self.normalized_fisher_info.double()

    @torch.no_grad()
    def update_fisher_info(self) -> None:
        """Add what the batch says that was recorded."""
        before = self.normalized_fisher_info
        super().update_fisher_info()
        after = self.normalized_fisher_info
        # In place: others hold on to the buffers of a model.
        before.copy_(torch.where(after.isfinite().all(), after, before))
        self.normalized_fisher_info = before
