# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import random
from types import SimpleNamespace

import numpy as np
import torch

from mmdgkd.engine.hooks.resume_hooks import DataOnlyHook, StepSeedHook


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


def test_the_config_in_a_checkpoint_is_not_executed():
    for checkpoint in (dict(meta=dict(config='x', iter=3)), dict(meta=None)):
        DataOnlyHook().after_load_checkpoint(None, checkpoint)
        assert checkpoint['meta'] in (dict(iter=3), None)
