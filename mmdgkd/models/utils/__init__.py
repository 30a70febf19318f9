# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The network within an algorithm, and its weights."""
from .networks import (compile_network, hold_structure, network_cfg,
                       network_of, peers_of, running_network, static_network,
                       teaching_network, unwrapped)
from .step_clock import StepClock
from .weights import (check_weights, load_weights, network_weights,
                      weights_sha256)

__all__ = [
    'StepClock', 'check_weights', 'compile_network', 'teaching_network',
    'hold_structure', 'load_weights', 'network_cfg', 'network_of',
    'network_weights', 'peers_of', 'running_network', 'static_network',
    'unwrapped', 'weights_sha256'
]
