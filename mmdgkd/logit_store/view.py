# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One view of a teacher in memory, where the training is."""
from typing import List, Optional, Tuple

import numpy as np
import torch

from mmdgkd.utils.device import to_device
from .encoding import RowForm, Rows, joined
from .piece import Piece

# A view is kept on a device that has room for so many of it.
_ROOM = 8


class View:
    """The rows of a view: those that were cached, and new ones.

    Args:
        num_samples (int): Length of the data set.
        piece (Piece, optional): What is cached of it. Defaults to None:
            nothing.
    """

    def __init__(self,
                 num_samples: int,
                 piece: Optional[Piece] = None) -> None:
        self.form: Optional[RowForm] = piece.form if piece else None
        self._rows: Optional[Rows] = piece.rows if piece else None
        # The row of each sample; -1: none, -2: among the new ones.
        self._places = np.full(num_samples, -1)
        self._was_moved = self._missed = False
        self._cached = 0
        if piece is not None:
            self._cached = len(piece.indices)
            self._places[piece.indices] = np.arange(self._cached)
        self._own: List[np.ndarray] = []
        self._new: List[Tuple[np.ndarray, Rows, torch.Tensor]] = []

    @property
    def was_enough(self) -> bool:
        """Whether no row was missing, so that others have none to add."""
        return not (self._missed or self._new or self._own)

    @property
    def is_full(self) -> bool:
        """Whether it was cached for all samples."""
        return self._cached == len(self._places)

    def take(self, indices: np.ndarray,
             device: torch.device) -> Tuple[Optional[Rows], np.ndarray]:
        """The rows of some samples.

        Args:
            indices (np.ndarray): The samples, int64 of shape (N, ).
            device (torch.device): Where they are needed.

        Returns:
            tuple[Rows, np.ndarray]: A row for each, and which of them are
            valid, bool of shape (N, ); None for the rows if there is none.
        """
        places = self._places[indices]
        if places.min(initial=0) == -2:
            self._settle()
            places = self._places[indices]
        valid = places >= 0
        if not valid.all():
            self._missed = True
            if self._rows is None or not valid.any():
                return None, valid
            places = np.maximum(places, 0)
        self._move(device)
        places = to_device(places, self._rows.values.device)
        rows = self._rows.take(places)
        return rows.map(lambda part: to_device(part, device)), valid

    def add(self, form: RowForm, indices: np.ndarray, rows: Rows,
            finite: torch.Tensor) -> None:
        """Add rows that were missing.

        Args:
            form (RowForm): Their format.
            indices (np.ndarray): Their samples, int64 of shape (N, ).
            rows (Rows): The rows.
            finite (torch.Tensor): Which of them to keep, bool of shape (N, ):
                spoiled images once must not spoil the cache for ever.
        """
        self.form = form
        size = len(self._places) * form.num_bytes
        if not _has_room(rows.values.device, size):
            rows = rows.map(lambda part: part.cpu())
        self._new.append((indices, rows, finite))
        self._places[indices] = -2

    def new(self) -> Optional[Tuple[np.ndarray, Rows]]:
        """The rows that were added, for a file.

        Returns:
            tuple[np.ndarray, Rows], optional: Their samples, ascending, and
            the rows, on the CPU; None if there are none.
        """
        self._settle()
        if not self._own:
            return None
        indices = np.concatenate(self._own)
        order = np.argsort(indices)
        places = torch.from_numpy(order + self._cached)
        rows = self._rows.take(places.to(self._rows.values.device))
        return indices[order], rows.map(lambda part: part.cpu())

    def _settle(self) -> None:
        """Put the new rows to the others; what is not finite is missing."""
        if not self._new:
            return
        # There may have been room on the device before.
        last = self._new[-1][1].values.device
        parts = [] if self._rows is None else [
            self._rows.map(lambda part: part.to(last))
        ]
        count = len(parts[0].values) if parts else 0
        finite = torch.cat([each[2] for each in self._new]).cpu().numpy()
        indices = np.concatenate([each[0] for each in self._new])
        self._places[indices] = -1
        # Of a sample that was added twice the first row counts.
        kept, places = np.unique(indices[finite], return_index=True)
        places = np.flatnonzero(finite)[places]
        rows = joined(
            [each[1].map(lambda part: part.to(last)) for each in self._new])
        parts.append(rows.take(torch.from_numpy(places).to(last)))
        self._rows = joined(parts)
        self._places[kept] = count + np.arange(len(kept))
        self._own.append(kept)
        self._new.clear()

    def _move(self, device: torch.device) -> None:
        """Keep the rows on the device, if that has room."""
        if self._was_moved:
            return
        self._was_moved = True
        size = sum(part.nbytes for part in self._rows if part is not None)
        if _has_room(device, size):
            self._rows = self._rows.map(lambda part: part.to(device))


def _has_room(device: torch.device, size: int) -> bool:
    """Whether a device has room for a view of a size, and to work with it."""
    if device.type != 'cuda':
        return True
    return torch.cuda.mem_get_info(device)[0] >= _ROOM * size
