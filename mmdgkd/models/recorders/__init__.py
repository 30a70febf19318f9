# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Recorders of the outputs of several teachers."""
from .multi_teacher_outputs_recorder import MultiTeacherOutputsRecorder
from .sources import (check_source_names, check_stock_source, initialize_stock,
                      refuse_source)

__all__ = [
    'MultiTeacherOutputsRecorder', 'check_source_names', 'check_stock_source',
    'initialize_stock', 'refuse_source'
]
