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
    """What a training will take from now on: (the stage, the chain).

    Args:
        elapsed (float): Seconds that it has taken by now.
        first (int): The step, epoch or iteration, from which it went on.
        step (int): Steps done.
        total (int): Steps in all.
        later_share (float): The operations of all later stages, as a multiple
            of those of this one. Defaults to 0.
    """
    per_step = elapsed / max(step - first, 1)
    here = per_step * (total - step)
    return here, here + per_step * total * later_share


class ChainProgressHook(Hook):
    """Says where the chain stands, after each epoch and each validation.

    Such as ``stage 3/6 resnet32 <- resnet110, resnet56 | epoch 12/160 | chain
    ETA 1:12:04``. What the later stages will take is estimated from the time
    of this one and their share of operations.

    Args:
        index (int): Number of the stage, from 1.
        total (int): How many stages there are.
        name (str): The stage.
        teachers (Sequence[str]): Its teachers.
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
        """Begin to measure."""
        _, self._first, _ = progress_of(runner)
        self._start = time.monotonic()

    def after_train_epoch(self, runner: Any) -> None:
        """Say it. In this hook MMEngine has not counted the epoch yet."""
        unit, step, total = progress_of(runner)
        if unit == 'epoch':
            self._log(runner, unit, step + 1, total)

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Say it in trainings that are counted by iterations."""
        unit, step, total = progress_of(runner)
        if unit == 'iter':
            self._log(runner, unit, step, total)

    def _log(self, runner: Any, unit: str, step: int, total: int) -> None:
        _, left = seconds_left(time.monotonic() - self._start, self._first,
                               step, total, self.later_share)
        runner.logger.info(f'{self.stage} | {unit} {step}/{total} | chain ETA '
                           f'{datetime.timedelta(seconds=round(left))}')
