# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Student-guided weights of stochastic teacher outputs."""
from .stochastic_teacher_outputs_recorder import (
    StochasticTeacherOutputsRecorder, pass_masks)
from .student_guided_feature_loss import StudentGuidedFeatureLoss
from .student_guided_kd_loss import StudentGuidedKDLoss, student_guided_mean

__all__ = [
    'StochasticTeacherOutputsRecorder', 'StudentGuidedFeatureLoss',
    'StudentGuidedKDLoss', 'pass_masks', 'student_guided_mean'
]
