# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .frozen_teachers import FrozenTeachers
from .step_clock import StepClock
from .weights import (check_weights, load_weights, network_weights,
                      read_checkpoint)

__all__ = [
    'FrozenTeachers', 'StepClock', 'check_weights', 'load_weights',
    'network_weights', 'read_checkpoint'
]
