# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A file of a logit store: rows of one view of a teacher."""
import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence

import numpy as np
import torch

from mmdgkd.fileio.files import parse_json
from .encoding import RowForm, Rows, joined

# An archive of NumPy has this, and its header is a kilobyte or two.
_OVERHEAD = 2000  # bytes
SUFFIX = '.npz'
_NAME = re.compile(r'view_(\d+)_(\d+)-[0-9a-f]{16}\.npz')


@dataclass(frozen=True)
class Piece:
    """Rows of a view, with all that they depend on.

    As a file it is an archive of NumPy: ``header``, JSON; ``values`` and, with
    ``top_k``, ``classes``, see :class:`Rows`; and, unless each sample has a
    row, ``present``, a bit for each.

    Attributes:
        header (dict): ``depends_on``, the facts that the rows depend on;
            ``classes``, the length of the logits; ``num_samples``, that of the
            data set; ``view``, its number; ``info``, for people.
        indices (np.ndarray): The samples, int64 of shape (N, ), ascending.
        rows (Rows): Their rows, on the CPU.
    """

    header: Dict[str, Any]
    indices: np.ndarray
    rows: Rows

    @property
    def form(self) -> RowForm:
        """The format of the rows."""
        return form_of(self.header)

    def pack(self) -> bytes:
        """The content of its file: the same for the same rows."""
        arrays = dict(
            header=np.array(json.dumps(self.header, sort_keys=True).encode()),
            values=self.rows.values.numpy())
        if self.rows.classes is not None:
            arrays['classes'] = self.rows.classes.numpy()
        if len(self.indices) < self.header['num_samples']:
            present = np.zeros(self.header['num_samples'], bool)
            present[self.indices] = True
            arrays['present'] = np.packbits(present)
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()


def unpack(data: bytes) -> Optional[Piece]:
    """Read the content of a file; nothing in it is executed.

    Args:
        data (bytes): The content, whose checksum has been compared.

    Returns:
        Piece, optional: None if it is none.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            header = parse_json(bytes(file['header'].item()).decode())
            values, classes = torch.from_numpy(file['values']), None
            if 'classes' in file:
                classes = torch.from_numpy(file['classes'])
            indices = np.arange(header['num_samples'])
            if 'present' in file:
                present = np.unpackbits(
                    file['present'], count=header['num_samples'])
                indices = np.flatnonzero(present)
        form_of(header)
        return Piece(header, indices, Rows(values, classes))
    except (OSError, EOFError, KeyError, TypeError, ValueError,
            zipfile.BadZipFile):
        return None


def form_of(header: Dict[str, Any]) -> RowForm:
    """The format of rows.

    Args:
        header (dict): See :class:`Piece`.
    """
    facts = header['depends_on']
    return RowForm(header['classes'], facts['dtype'], facts['top_k'],
                   facts.get('others', 'even'))


def merged(pieces: Sequence[Piece]) -> Piece:
    """All rows of several; of a sample in two the row of the first.

    Args:
        pieces (Sequence[Piece]): Of one view.
    """
    if len(pieces) == 1:
        return pieces[0]
    indices = np.concatenate([piece.indices for piece in pieces])
    indices, places = np.unique(indices, return_index=True)
    rows = joined([piece.rows for piece in pieces])
    return Piece(pieces[0].header, indices,
                 rows.take(torch.from_numpy(places)))


def stem_of(piece: Piece) -> str:
    """The first part of the name of a file.

    Args:
        piece (Piece): Its content.
    """
    return f'view_{piece.header["view"]:05d}_{len(piece.indices)}'


class PieceName(NamedTuple):
    """What the name of a file says.

    Attributes:
        view (int): The number of its view.
        rows (int): How many rows are in it.
    """

    view: int
    rows: int


def parse_name(name: str) -> Optional[PieceName]:
    """Read the name of a file.

    Args:
        name (str): The name, without its folder.

    Returns:
        PieceName, optional: None if it is no file of a view.
    """
    found = _NAME.fullmatch(name)
    return PieceName(*map(int, found.groups())) if found else None


def store_bytes(form: RowForm, num_views: int, num_samples: int) -> int:
    """The bytes that a teacher's views take, at most.

    Args:
        form (RowForm): The format of a row.
        num_views (int): Number of views of a sample.
        num_samples (int): Length of the data set.
    """
    return num_views * (
        _OVERHEAD + num_samples // 8 + num_samples * form.num_bytes)
