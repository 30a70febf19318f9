# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp
import time
from collections import deque
from datetime import timedelta
from typing import Any, Deque, Dict, Optional, Sequence, Tuple

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from ._live_line import LiveLine
from .chain_progress_hook import seconds_left


@HOOKS.register_module()
class LiveProgressHook(Hook):
    """Shows in a terminal, in one line below the log, how a training goes.

    Such as ``2/3 resnet14 | epoch 12/160 ━━━╸─── 34/391 | 12.3 it/s | loss
    1.2345 | top1 71.20 | ETA 0:12:04 | chain 1:02:03``; in a narrow terminal
    less of it. The loss is what the logger has read last: no step waits for a
    device. There is none in a pipe or a file, with ``TERM=dumb``, or on
    another rank than the first.

    A chain has it by itself. To do without it::

        default_hooks = dict(live_progress=None)

    or ``--cfg-options default_hooks.live_progress=None``. Any other config of
    MMRazor gets it by ``default_hooks = dict(live_progress=dict(
    type='mmrazor.LiveProgressHook'))``.

    Args:
        stage (str, optional): What is trained.
            Defaults to None: the name of the work dir.
        later_share (float): The operations of all later stages, as a multiple
            of those of this one. Defaults to 0.
        metric (str, optional): The validation metric to show.
            Defaults to None: the first one.
        interval (float): Seconds from one drawing to the next.
            Defaults to 0.25.
    """

    # After all that may write something.
    priority = 'LOWEST'

    def __init__(self,
                 stage: Optional[str] = None,
                 later_share: float = 0.0,
                 metric: Optional[str] = None,
                 interval: float = 0.25) -> None:
        self.stage = stage
        self.later_share = later_share
        self.metric = metric
        self.interval = interval
        self._line: Optional[LiveLine] = None
        self._validated = ''
        self._drawn = 0.0
        # When the last iterations ended.
        self._ends: Deque[float] = deque(maxlen=50)
        self._began = 0.0
        self._first = 0

    def before_train(self, runner: Any) -> None:
        """Begin, on the first rank, if there is a terminal."""
        if not is_main_process():
            return
        line = LiveLine()
        if line.start():
            self._line = line
        self._began, self._first = time.monotonic(), runner.iter
        self._drawn = 0.0

    def before_train_epoch(self, runner: Any) -> None:
        """Measure anew, without what was between the epochs."""
        self._ends.clear()

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Draw the line, if it is time."""
        if self._line is None:
            return
        self._ends.append(time.monotonic())
        if not self._is_time():
            return
        # MMEngine has not counted the iteration yet.
        step, total = runner.iter + 1, runner.max_iters
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            where = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            at = batch_idx + 1, len(runner.train_dataloader)
        else:
            where, at = 'iter', (step, total)
        here, chain = self._times(step, total)
        self._draw(
            runner,
            where,
            at,
            speed=self._speed(),
            loss=self._loss(runner),
            metric=self._validated,
            eta=here,
            chain=chain)

    def before_val(self, runner: Any) -> None:
        """Take the time that it takes out of the speed."""
        self._ends.clear()

    def after_val_iter(self,
                       runner: Any,
                       batch_idx: int,
                       data_batch: Any = None,
                       outputs: Optional[Sequence] = None) -> None:
        """Draw the line, if it is time."""
        if self._line is not None and self._is_time():
            self._draw(
                runner,
                'validation', (batch_idx + 1, len(runner.val_dataloader)),
                metric=self._validated)

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Keep the metric."""
        if metrics:
            name = self.metric or next(iter(metrics))
            value = metrics.get(name)
            if isinstance(value, (int, float)):
                self._validated = f'{name.split("/")[-1]} {value:.2f}'

    def after_train(self, runner: Any) -> None:
        """Take the line away."""
        self.stop()

    def stop(self) -> None:
        """Take the line away, whatever has ended the training."""
        line, self._line = self._line, None
        if line is not None:
            line.stop()

    # What is in it ----------------------------------------------------------

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._drawn < self.interval:
            return False
        self._drawn = now
        return True

    def _draw(self, runner: Any, where: str, at: Tuple[int, int],
              **parts: str) -> None:
        """Draw what there is room for."""
        left = f'{self.stage or osp.basename(runner.work_dir)} | {where}'
        count = f'{at[0]}/{at[1]}'
        # What goes first in a narrow terminal; the bar goes before the loss.
        expendable = [
            name for name in ('speed', 'chain', 'metric', 'bar', 'loss')
            if name == 'bar' or parts.get(name)
        ]
        bar = 5
        while True:
            right = ' | '.join([count, *filter(None, parts.values())])
            room = self._line.width - len(left) - len(right) - 2
            if room >= bar or not expendable:
                break
            name = expendable.pop(0)
            if name == 'bar':
                bar = -1
            else:
                del parts[name]
        self._line.draw(left, at[0] / max(at[1], 1), right)

    def _speed(self) -> str:
        ends = self._ends
        if len(ends) < 2 or ends[-1] == ends[0]:
            return ''
        rate = (len(ends) - 1) / (ends[-1] - ends[0])
        return f'{rate:.1f} it/s' if rate >= 1 else f'{1 / rate:.1f} s/it'

    @staticmethod
    def _loss(runner: Any) -> str:
        # What the hook of the runtime info has handed on is on the host.
        losses = runner.message_hub.log_scalars.get('train/loss')
        return f'loss {float(losses.current()):.4f}' if losses else ''

    def _times(self, step: int, total: int) -> Tuple[str, str]:
        if step - self._first < 2:
            return '', ''
        here, chain = (
            timedelta(seconds=round(left)) for left in seconds_left(
                time.monotonic() -
                self._began, self._first, step, total, self.later_share))
        return f'ETA {here}', f'chain {chain}' if self.later_share else ''
