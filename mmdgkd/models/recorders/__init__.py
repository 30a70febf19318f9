# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .multi_teacher_outputs_recorder import MultiTeacherOutputsRecorder
from .sources import check_stock_source, refuse_source
from .stochastic_teacher_outputs_recorder import (
    StochasticTeacherOutputsRecorder, pass_masks)

__all__ = [
    'MultiTeacherOutputsRecorder', 'StochasticTeacherOutputsRecorder',
    'check_stock_source', 'pass_masks', 'refuse_source'
]
