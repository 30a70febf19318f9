# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Callable, Optional, Tuple

import torch
from mmrazor.models.architectures.dynamic_ops import FuseConv2d


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
