# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Tables of plain text, by rich, and the numbers in them."""
import io
from typing import Any, Optional, Sequence

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Draw a table as text, as wide as it needs to be.

    Args:
        columns (Sequence[str]): The column heads.
        rows (Sequence[Sequence]): The cells; columns of numbers are aligned to
            the right.
    """
    drawn = Table(box=box.ASCII_DOUBLE_HEAD)
    for i, column in enumerate(columns):
        words = not any(str(row[i])[:1].isdigit() for row in rows) or i == 0
        drawn.add_column(
            column, justify='left' if words else 'right', no_wrap=True)
    for row in rows:
        drawn.add_row(*map(str, row))
    file = io.StringIO()
    Console(file=file, width=500, markup=False).print(drawn)
    return file.getvalue().rstrip()


def number_of(value: Any) -> Optional[float]:
    """A metric as a number; None if it is none, such as one per class.

    Args:
        value (Any): A number, or a tensor or an array of one.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = value.item() if np.prod(value.shape) == 1 else None
    if isinstance(value, (int, float, np.number)):
        return float(value)
    return None
