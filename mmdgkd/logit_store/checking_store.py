# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import torch

from mmdgkd.structures.views import BatchViews
from .encoding import RowForm
from .logit_store import LogitStore

# Another machine rounds otherwise.
_TOLERANCE = 0.01


@dataclass
class Compared:
    """Rows that were computed again.

    Attributes:
        rows (int): How many were cached.
        equal (int): How many of them have the same bits.
        wrong (int): How many differ by more than 1 % of their largest logit;
            with ``top_k``, where two classes may change places, by more than
            0.01 in a probability.
        off (float): The largest difference of a logit, or of a probability.
    """

    rows: int = 0
    equal: int = 0
    wrong: int = 0
    off: float = 0.


class CheckingStore(LogitStore):
    """Has each row computed again, and compares it with the cached one.

    Nothing is written.

    Args:
        *args (Any): As for :class:`LogitStore`.
        **kwargs (Any): Likewise.

    Attributes:
        compared (dict[tuple[str, int], Compared]): By teacher and view.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writes = False
        self.compared: Dict[Tuple[str, int], Compared] = {}

    def lookup(self, teacher: Mapping[str, Any], views: BatchViews,
               device: torch.device) -> None:
        """Look up the logits for :meth:`keep`; all have to be computed.

        Args:
            teacher (Mapping): See :class:`LogitStore`.
            views (BatchViews): Likewise.
            device (torch.device): Likewise.
        """
        logits = super().lookup(teacher, views, device)
        if logits is not None:
            self._found[teacher['name']] = logits, np.ones(len(logits), bool)

    def keep(self, teacher: Mapping[str, Any], views: BatchViews,
             logits: torch.Tensor) -> torch.Tensor:
        """Compare the logits of a batch with those that were cached.

        Args:
            teacher (Mapping): See :class:`LogitStore`.
            views (BatchViews): Likewise.
            logits (torch.Tensor): Shape (N, C).
        """
        cached, valid = self._found[teacher['name']]
        form = RowForm(logits.shape[1], self.dtype, self.top_k, self.others)
        fresh = form.decode(form.encode(logits)).cpu()
        for view in np.unique(views.views).tolist():
            compared = self.compared.setdefault((teacher['name'], view),
                                                Compared())
            own = torch.from_numpy(valid & (views.views == view))
            if own.any():
                now, then = fresh[own], cached.cpu()[own]
                compared.rows += len(now)
                compared.equal += int((now == then).all(1).sum())
                bound = _TOLERANCE * now.abs().amax(1)
                if not form.is_full:
                    now, then = now.softmax(1), then.softmax(1)
                    bound = torch.tensor(_TOLERANCE)
                off = (now - then).abs().amax(1)
                # What is not finite is wrong.
                compared.wrong += int((~(off <= bound)).sum())
                compared.off = max(compared.off, float(off.nan_to_num().max()))
        return super().keep(teacher, views, logits)
