# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
import os.path as osp
from collections import deque
from typing import Any, Deque, Dict, List, Optional

from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmrazor.registry import HOOKS

from mmdgkd.engine.finite_step.bad_step import (BadStep, bad_ranks, describe,
                                                dump_step)
from mmdgkd.engine.finite_step.step_guard import StepGuard
from mmdgkd.engine.optim.joint_optim_wrapper_dict import JointOptimWrapperDict
from mmdgkd.errors import TrainingError
from mmdgkd.models.utils.networks import unwrapped

# So many iterations later an accelerator has long computed the answer.
_LAG = 2


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Keeps a loss or gradient that is not finite out of the weights.

    If a term of the loss or a gradient of any rank is NaN or infinite, no rank
    updates: weights, optimizer and BN statistics stay what they were. The step
    is skipped, or the training stops and says in which iteration, for which
    samples and which terms; a dump reproduces the step
    (``python -m mmdgkd.engine.finite_step``).

    No step waits for the device: whether an update counts is decided there,
    and the host reads it two iterations later. On the CPU it knows at once.

    Args:
        max_skips (int): So many bad steps in a row are skipped, with a
            warning; one more stops the training. Defaults to 0.
    """

    # Before whatever looks at the weights or saves them.
    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0) -> None:
        if not (isinstance(max_skips, int) and max_skips >= 0):
            raise ValueError(f'FiniteLossHook.max_skips: {max_skips!r} must '
                             'be an integer, 0 or more')
        self.max_skips = max_skips
        self._guard: Optional[StepGuard] = None
        self._steps: Deque[BadStep] = deque()
        self._row = 0

    def before_train(self, runner: Any) -> None:
        """Watch the model's losses and the optimizer's steps."""
        model = runner.model
        model = unwrapped(model)
        wrapper = runner.optim_wrapper
        wrappers = wrapper.optim_wrappers.values() if isinstance(
            wrapper, OptimWrapperDict) else [wrapper]
        optimizers = [part.optimizer for part in wrappers]
        self._guard = StepGuard(
            model,
            optimizers,
            self.max_skips,
            # A scaler skips the steps of each optimizer by itself.
            joint=isinstance(wrapper, JointOptimWrapperDict)
            and not wrapper.scales)
        self._steps.clear()
        self._row = 0

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Remember what a forward changes beside the weights."""
        self._guard.begin(runner.iter, runner.epoch)

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Judge the step, or one that was long ago."""
        wrapper = runner.optim_wrapper
        steps_at_once = (not isinstance(wrapper, OptimWrapperDict)
                         or isinstance(wrapper, JointOptimWrapperDict))
        ended = steps_at_once and wrapper.should_update()
        step = self._guard.end(ended)
        if step is None:
            return
        self._steps.append(step)
        lag = 0 if step.is_known else _LAG
        while len(self._steps) > lag:
            self._judge(runner, self._steps.popleft())

    def settle(self, runner: Any) -> None:
        """Judge what is not judged yet; to be called on all ranks.

        Args:
            runner (Runner): The runner of the training process.
        """
        while self._steps:
            self._judge(runner, self._steps.popleft())

    def after_train(self, runner: Any) -> None:
        """Judge the last steps."""
        self.settle(runner)
        self._guard.clean_up()

    def _judge(self, runner: Any, step: BadStep) -> None:
        if not step.is_bad():
            self._row = 0
            return
        self._row += 1
        reports: List[Dict] = [step.report()]
        if get_world_size() > 1:
            reports = all_gather_object(reports[0])
        what = describe(osp.basename(runner.work_dir), step, reports)
        if self._row <= self.max_skips:
            runner.logger.log(
                logging.WARNING,
                f'{what}; the step is skipped ({self._row} in a row, at most '
                f'{self.max_skips})')
            return
        folder = osp.join(runner.work_dir, f'bad_step_{step.iteration + 1}')
        dump_step(osp.join(folder, f'rank_{get_rank()}.pth'), runner, step)
        # The first rank that ends takes the others with it.
        barrier()
        path = osp.join(folder, f'rank_{bad_ranks(reports)[0]}.pth')
        raise TrainingError(
            f'{what}; the weights are as before it; '
            f'python -m mmdgkd.engine.finite_step {path} repeats the step')
