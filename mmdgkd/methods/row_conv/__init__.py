# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that process an image row by row."""
from .peak_bytes import peak_bytes
from .row_conv import row_conv
from .row_stream import RowStream
from .rows_seen import check_single_rows, rows_seen

__all__ = [
    'RowStream', 'check_single_rows', 'peak_bytes', 'row_conv', 'rows_seen'
]
