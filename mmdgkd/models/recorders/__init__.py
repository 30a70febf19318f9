# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .multi_teacher_outputs_recorder import MultiTeacherOutputsRecorder

__all__ = ['MultiTeacherOutputsRecorder']
