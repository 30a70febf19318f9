# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How teachers are frozen, run and cached."""
from .cached_teachers import CachedTeachers, teacher_facts
from .frozen_teachers import FrozenTeachers
from .teacher_options import TeacherOptions

__all__ = [
    'FrozenTeachers', 'CachedTeachers', 'TeacherOptions', 'teacher_facts'
]
