# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The distiller of several teachers."""
from .edges import edges_for, expand_edges
from .ensembles import ensemble_logits
from .multi_teacher_distiller import MultiTeacherDistiller, build_distiller

__all__ = [
    'MultiTeacherDistiller', 'build_distiller', 'edges_for', 'ensemble_logits',
    'expand_edges'
]
