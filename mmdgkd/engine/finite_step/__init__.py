# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .bad_step import BadStep, bad_ranks, describe, dump_step
from .replay import replay
from .step_guard import StepGuard

__all__ = [
    'BadStep', 'StepGuard', 'bad_ranks', 'describe', 'dump_step', 'replay'
]
