# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp
from typing import Any, Dict, Optional, Sequence

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from mmdgkd.errors import TrainingStopped
from ._stop_signals import StopSignals
from .atomic_checkpoint_hook import AtomicCheckpointHook


class StopHook(Hook):
    """Stops a training after a signal, with a checkpoint, on all ranks.

    The iteration is finished first. A validation is not: it is run when the
    training goes on.

    Args:
        signals (StopSignals): The signals.
    """

    # After all that belongs to the iteration.
    priority = 'LOWEST'

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Stop if any rank has received a signal."""
        if self.signals.vote():
            # MMEngine has not counted the iteration yet.
            self._stop(runner, runner.epoch, runner.iter + 1)

    def before_val(self, runner: Any) -> None:
        """Stop if any rank has received a signal."""
        if self.signals.decide():
            self._stop(runner, runner.epoch, runner.iter)

    def after_val_iter(self,
                       runner: Any,
                       batch_idx: int,
                       data_batch: Any = None,
                       outputs: Optional[Sequence] = None) -> None:
        """Stop if nothing is lost; several ranks finish the validation."""
        if get_world_size() == 1 and self.signals.received is not None:
            hook = self._checkpoints(runner)
            if hook and hook.saved_at == (runner.epoch, runner.iter):
                self._stop(runner, runner.epoch, runner.iter)

    def _stop(self, runner: Any, epoch: int, iteration: int) -> None:
        hook = self._checkpoints(runner)
        where = f'checkpoints of before, if any, are in {runner.work_dir}'
        # Other loops begin an epoch anew and cannot use a checkpoint in it.
        if hook is not None and (hasattr(runner.train_loop, 'start_at')
                                 or not hook.by_epoch):
            hook.save_now(runner, epoch, iteration)
            where = f'a checkpoint of iteration {iteration} is written'
        stage = osp.basename(runner.work_dir)
        raise TrainingStopped(f'stopped by {self.signals.name} in {stage}; '
                              f'{where}; add --resume to go on')

    @staticmethod
    def _checkpoints(runner: Any) -> Optional[AtomicCheckpointHook]:
        return next((hook for hook in runner.hooks
                     if isinstance(hook, AtomicCheckpointHook)), None)
