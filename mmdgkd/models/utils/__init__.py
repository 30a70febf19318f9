# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .config_types import type_of
from .fast_network import compile_network
from .fixed_graph import FixedFakeQuantize
from .frozen_teachers import FrozenTeachers
from .networks import (guiding_network, hold_pruning, network_cfg, network_of,
                       peers_of, running_network, static_network, unwrapped)
from .step_clock import StepClock
from .teacher_memory import TeacherMemory, teacher_facts
from .teacher_options import TeacherOptions
from .weights import (check_weights, load_weights, network_weights,
                      read_checkpoint, weights_sha256)

__all__ = [
    'FixedFakeQuantize', 'FrozenTeachers', 'StepClock', 'TeacherMemory',
    'TeacherOptions', 'check_weights', 'compile_network', 'guiding_network',
    'hold_pruning', 'load_weights', 'network_cfg', 'network_of',
    'network_weights', 'peers_of', 'read_checkpoint', 'running_network',
    'static_network', 'teacher_facts', 'type_of', 'unwrapped', 'weights_sha256'
]
