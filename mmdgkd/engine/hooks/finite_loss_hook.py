# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import io
import logging
import os.path as osp
from collections import deque
from typing import Any, Deque, Dict, Optional

import torch
from mmengine.dist import all_gather_object, barrier
from mmengine.fileio import put
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmrazor.registry import HOOKS

from mmdgkd.engine.finite_step.bad_step import describe, dump_of, facts_of
from mmdgkd.engine.finite_step.step_guard import Step, StepGuard
from mmdgkd.engine.optim.joint_optim_wrapper_dict import JointOptimWrapperDict
from mmdgkd.errors import TrainingError
from mmdgkd.models.utils.networks import unwrapped

# After so many iterations an accelerator has computed the flag.
_LAG = 2


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Keeps losses and gradients that are not finite out of the weights.

    If a term of the loss or a gradient is NaN or infinite on any rank, no rank
    updates: weights, optimizer and BN statistics stay as they were. The step
    is skipped with a warning, or the training ends with an error that names
    the iteration, the samples and the terms; a dump reproduces the step
    (``python -m mmdgkd.engine.finite_step DUMP``).

    No step waits for an accelerator, which decides by itself whether an update
    counts; the host reads that two iterations later, on the CPU at once.

    Args:
        max_skips (int): So many bad steps in a row are skipped; one more ends
            the training. Defaults to 0.

    Raises:
        ValueError: If ``max_skips`` is no integer or negative.
    """

    # Before whatever looks at the weights or saves them.
    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0) -> None:
        if not (isinstance(max_skips, int) and max_skips >= 0):
            raise ValueError(f'FiniteLossHook.max_skips: {max_skips!r} must '
                             'be an integer, 0 or more')
        self.max_skips = max_skips
        self._guard: Optional[StepGuard] = None
        self._steps: Deque[Step] = deque()
        self._row = 0

    def before_train(self, runner: Any) -> None:
        """Register the hooks on the model and its optimizers."""
        wrapper = runner.optim_wrapper
        wrappers = list(wrapper.values()) if isinstance(
            wrapper, OptimWrapperDict) else [wrapper]
        # A scaler skips the steps of each optimizer by itself.
        joint = isinstance(wrapper,
                           JointOptimWrapperDict) and not wrapper.scales
        self._guard = StepGuard(
            unwrapped(runner.model), [part.optimizer for part in wrappers],
            self.max_skips, joint)
        self._steps.clear()
        self._row = 0

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Keep what a forward changes beside the weights."""
        self._guard.begin(runner.iter, runner.epoch)

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Check the step, or on an accelerator one of before."""
        wrapper = runner.optim_wrapper
        steps_at_once = (not isinstance(wrapper, OptimWrapperDict)
                         or isinstance(wrapper, JointOptimWrapperDict))
        step = self._guard.end(steps_at_once and wrapper.should_update())
        if step is not None:
            self._steps.append(step)
            self.settle(runner, 0 if step.is_known else _LAG)

    def settle(self, runner: Any, lag: int = 0) -> None:
        """Check the steps that are not checked yet; call it on all ranks.

        Args:
            runner (Runner): The runner of the training process.
            lag (int): So many may be left. Defaults to 0.
        """
        while len(self._steps) > lag:
            step = self._steps.popleft()
            self._row = self._row + 1 if step.is_bad() else 0
            if self._row:
                self._skip_or_stop(runner, step)

    def after_train(self, runner: Any) -> None:
        """Check the last steps."""
        self.settle(runner)
        self._guard.clean_up()

    def _skip_or_stop(self, runner: Any, step: Step) -> None:
        facts = facts_of(runner, step.forwards)
        text, rank = describe(all_gather_object(facts))
        if self._row <= self.max_skips:
            runner.logger.log(
                logging.WARNING,
                f'{text}; the step is skipped ({self._row} in a row, at most '
                f'{self.max_skips})')
            return
        folder = osp.join(runner.work_dir, f'bad_step_{facts["iter"] + 1}')
        file = io.BytesIO()
        torch.save(dump_of(runner, step.forwards), file)
        put(file.getvalue(),
            osp.join(folder, f'rank_{facts["rank"]}.pth'),
            backend_args=dict(backend='atomic'))
        # The first rank that ends takes the others with it.
        barrier()
        path = osp.join(folder, f'rank_{rank}.pth')
        raise TrainingError(
            f'{text}; the weights are as before it; '
            f'python -m mmdgkd.engine.finite_step {path} repeats the step')
