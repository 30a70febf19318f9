# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import datetime
import time
from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.hooks import Hook

from mmdgkd.engine.loops.position import progress_of


def seconds_left(elapsed: float,
                 first: int,
                 step: int,
                 total: int,
                 later_share: float = 0.0) -> Tuple[float, float]:
    """Estimate the time that is left: (of the stage, of the chain).

    Args:
        elapsed (float): Seconds since the training began or went on.
        first (int): The step, epoch or iteration, where it began.
        step (int): Steps done.
        total (int): Steps in all.
        later_share (float): The operations of all later stages, as a multiple
            of those of this one. Defaults to 0.
    """
    per_step = elapsed / max(step - first, 1)
    here = per_step * (total - step)
    return here, here + per_step * total * later_share


class ChainProgressHook(Hook):
    """Logs the progress of the chain after each epoch or validation.

    Such as ``stage 3/6 resnet32 <- resnet110, resnet56 | epoch 12/160 | chain
    ETA 1:12:04``. The time of the later stages is estimated from that of this
    one and their share of operations.

    Args:
        index (int): Number of the stage, from 1.
        total (int): How many stages there are.
        name (str): Name of the stage.
        teachers (Sequence[str]): Names of its teachers.
        later_share (float): The operations of all later stages, as a multiple
            of those of this one. Defaults to 0.
    """

    priority = 'LOWEST'

    def __init__(self,
                 index: int,
                 total: int,
                 name: str,
                 teachers: Sequence[str],
                 later_share: float = 0.0) -> None:
        self.stage = f'stage {index}/{total} {name}'
        if teachers:
            self.stage += f' <- {", ".join(teachers)}'
        self.later_share = later_share
        self._start = time.monotonic()
        self._first = 0

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        _, self._first, _ = progress_of(runner)
        self._start = time.monotonic()

    def after_train_epoch(self, runner: Any) -> None:
        """Log it; MMEngine has not counted the epoch yet."""
        unit, step, total = progress_of(runner)
        if unit == 'epoch':
            self._log(runner, unit, step + 1, total)

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Log it in trainings that are counted by iterations."""
        unit, step, total = progress_of(runner)
        if unit == 'iter':
            self._log(runner, unit, step, total)

    def _log(self, runner: Any, unit: str, step: int, total: int) -> None:
        _, left = seconds_left(time.monotonic() - self._start, self._first,
                               step, total, self.later_share)
        runner.logger.info(f'{self.stage} | {unit} {step}/{total} | chain ETA '
                           f'{datetime.timedelta(seconds=round(left))}')
