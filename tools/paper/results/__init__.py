# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What trained networks have come to: records, statistics, tables, figures.

A library of the tools: :mod:`mmdgkd` does not import it.
"""
from .record import (Record, errors, pack_errors, read_record, read_records,
                     record_name, write_record)

__all__ = [
    'Record', 'errors', 'pack_errors', 'read_record', 'read_records',
    'record_name', 'write_record'
]
