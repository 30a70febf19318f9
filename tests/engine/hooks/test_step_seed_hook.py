# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import random
from types import SimpleNamespace

import numpy as np
import torch

from mmdgkd.engine.hooks.step_seed_hook import StepSeedHook
from mmdgkd.utils.random import step_seed, view_seed


def draws(seed=0, step=0, rank=0):
    """What a model would draw in a step."""
    runner = SimpleNamespace(seed=seed, iter=step, rank=rank)
    StepSeedHook().before_train_iter(runner, 0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_draws_depend_on_seed_step_and_rank_alone():
    first = draws(step=5)
    torch.rand(3), np.random.rand(2), random.random()
    assert draws(step=5) == first
    others = [draws(), draws(seed=1), draws(step=1), draws(rank=1), first]
    for column in zip(*others):
        assert len(set(column)) == len(others)


def test_it_is_another_stream_than_that_of_the_views():
    assert step_seed(3, 4, 5) != view_seed(3, 4, 5)
    assert 0 <= step_seed(2**64 - 1, 10**9, 7) < 2**32
