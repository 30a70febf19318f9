# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Curriculum: from the smallest teacher to the largest."""
from .curriculum_hook import CurriculumHook
from .method import Curriculum

__all__ = ['Curriculum', 'CurriculumHook']
