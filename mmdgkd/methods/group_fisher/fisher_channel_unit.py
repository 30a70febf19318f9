# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

import torch
from mmrazor.implementations.pruning.group_fisher import GroupFisherChannelUnit
from mmrazor.registry import MODELS


@MODELS.register_module()
class FisherChannelUnit(GroupFisherChannelUnit):
    """MMRazor's ``GroupFisherChannelUnit`` that can be resumed exactly.

    MMRazor sums the importance of a channel over batches in float64, into a
    buffer that starts as float32: loading a checkpoint would round it, and
    another channel would be pruned.

    A batch whose gradients are not finite is left out.

    Args:
        num_channels (int): Channels of the unpruned network.
        *args (Any): As for ``GroupFisherChannelUnit``.
        **kwargs (Any): Likewise.
    """

    def __init__(self, num_channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(num_channels, *args, **kwargs)
        self.normalized_fisher_info = self.normalized_fisher_info.double()

    @torch.no_grad()
    def update_fisher_info(self) -> None:
        """Add the importance of the recorded batch."""
        before = self.normalized_fisher_info
        super().update_fisher_info()
        after = self.normalized_fisher_info
        # In place: other objects keep references to the buffers of a model.
        before.copy_(torch.where(after.isfinite().all(), after, before))
        self.normalized_fisher_info = before
