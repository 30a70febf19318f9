# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Tables of plain text, by rich."""
import io
from typing import Any, Sequence

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
