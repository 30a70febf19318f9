# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from mmengine.logging import MessageHub

from mmdgkd.models.utils.step_clock import StepClock


def test_in_a_training_it_is_that_of_the_runner():
    """Also if that begins in its middle."""
    hub, clock = MessageHub.get_current_instance(), StepClock()
    hub.update_info_dict(dict(loop_stage='train', seed=5))
    for iteration in (7, 8):
        hub.update_info('iter', iteration)
        assert clock.tick() == iteration
    assert clock.seed == 5


def test_in_a_bare_loop_it_counts():
    clock = StepClock()
    assert [clock.tick() for _ in range(3)] == [0, 1, 2]
    assert clock.seed == 0
