# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .multi_teacher_distiller import MultiTeacherDistiller, build_distiller

__all__ = ['MultiTeacherDistiller', 'build_distiller']
