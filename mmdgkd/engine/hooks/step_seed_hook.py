# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.utils.random import seed_all, step_seed


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Makes what the model draws in a step a function of (seed, step, rank).

    Dropout, DropPath, MixUp and the like then draw the same in a resumed run,
    though MMEngine's checkpoints hold no state of any generator.
    """

    # Right before the step.
    priority = 'LOWEST'

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Seed the generators of Python, NumPy and PyTorch."""
        seed_all(step_seed(runner.seed, runner.iter, runner.rank), device=True)
