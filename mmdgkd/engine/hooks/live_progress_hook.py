# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import atexit
import contextlib
import os.path as osp
import sys
import time
from datetime import timedelta
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .chain_progress_hook import seconds_left


@HOOKS.register_module()
class LiveProgressHook(Hook):
    """Shows the progress of a training in one line below the log.

    Such as ``2/3 resnet14 | epoch 12/160 ━━━╸─── 34/391 | 12.3 it/s | loss
    1.2345 | top1 71.20 | ETA 0:12:04 | chain 1:02:03``, less of it in a narrow
    terminal. The loss is the last one that the logger has read: no step waits
    for a device. There is no line in a pipe, in a file, with ``TERM=dumb`` or
    on ranks other than the first.

    A chain has this hook by default; ``default_hooks.live_progress=None``
    turns it off. Any other config of MMRazor gets it by ``default_hooks =
    dict(live_progress=dict(type='mmrazor.LiveProgressHook'))``.

    Args:
        stage (str, optional): Name of the stage.
            Defaults to None: the name of the work dir.
        later_share (float): The operations of all later stages, as a multiple
            of those of this one. Defaults to 0.
        metric (str, optional): The validation metric to show.
            Defaults to None: the first one.
        interval (float): Seconds between two updates. Defaults to 0.25.
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
        self._progress: Optional[Progress] = None
        self._undo = contextlib.ExitStack()
        self._validated = ''
        self._updated = self._began = 0.0
        self._first = 0

    def before_train(self, runner: Any) -> None:
        """Start the line, on the first rank and in a terminal."""
        self._began, self._first = time.monotonic(), runner.iter
        if not is_main_process() or (console := _terminal()) is None:
            return
        # No thread refreshes it: workers of data loaders are forked meanwhile.
        self._progress = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(bar_width=30),
            TextColumn('{task.fields[right]}', markup=False),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stderr=sys.stderr.isatty())
        self._progress.add_task('', right='', visible=False)
        stdout = sys.stdout
        with contextlib.suppress(OSError, ValueError):
            self._progress.start()
            # A process that is killed could not show the cursor again.
            console.show_cursor(True)
        for handler in runner.logger.handlers:
            # rich replaces sys.stdout, but the handler of a logger holds it.
            if getattr(handler, 'stream', None) is stdout:
                handler.setStream(sys.stdout)
                self._undo.callback(handler.setStream, stdout)
        atexit.register(self.after_train)

    def after_train(self, runner: Any = None) -> None:
        """Remove the line; to be called however the training has ended."""
        progress, self._progress = self._progress, None
        if progress is not None:
            # A terminal that is gone is no error of the training.
            with contextlib.suppress(OSError, ValueError):
                progress.stop()
            self._undo.close()
            atexit.unregister(self.after_train)

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any,
                         **__: Any) -> None:
        """Update the line, if it is time."""
        # MMEngine has not counted the iteration yet.
        step, total = runner.iter + 1, runner.max_iters
        where, done, length = 'iter', step, total
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            where = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            done, length = batch_idx + 1, len(runner.train_dataloader)
        parts = {}
        # The hook of the runtime info has read this loss off the device.
        if losses := runner.message_hub.log_scalars.get('train/loss'):
            parts['loss'] = f'loss {float(losses.current()):.4f}'
        if step - self._first > 1:
            elapsed = time.monotonic() - self._began
            left = seconds_left(elapsed, self._first, step, total,
                                self.later_share)
            for name, seconds in zip(('ETA', 'chain'), left):
                if name == 'ETA' or self.later_share:
                    parts[name] = f'{name} {timedelta(seconds=round(seconds))}'
        self._update(runner, where, done, length, parts)

    def after_val_iter(self, runner: Any, batch_idx: int, *_: Any,
                       **__: Any) -> None:
        """Update the line, if it is time."""
        self._update(runner, 'validation', batch_idx + 1,
                     len(runner.val_dataloader), {})

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Keep the metric."""
        numbers = {
            name: value
            for name, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        }
        name = self.metric or next(iter(numbers), '')
        if (value := numbers.get(name)) is not None:
            self._validated = f'{name.split("/")[-1]} {value:.2f}'

    def _update(self, runner: Any, where: str, done: int, length: int,
                found: Dict[str, str]) -> None:
        now, progress = time.monotonic(), self._progress
        if progress is None or now - self._updated < self.interval:
            return
        self._updated = now
        left = f'{self.stage or osp.basename(runner.work_dir)} | {where}'
        progress.update(0, total=length, completed=done)
        parts = dict(
            count=f'{done}/{length}',
            speed='',
            loss='',
            metric=self._validated)
        if found and (speed := progress.tasks[0].speed):
            parts['speed'] = f'{speed:.1f} it/s' if speed >= 1 else (
                f'{1 / speed:.1f} s/it')
        parts |= found
        # A narrow terminal shows less.
        for name in ('', 'speed', 'chain', 'metric', 'loss'):
            parts.pop(name, None)
            right = ' | '.join(filter(None, parts.values()))
            if progress.console.width >= len(left) + len(right) + 7:
                break
        with contextlib.suppress(OSError, ValueError):
            progress.update(
                0, description=left, right=right, visible=True, refresh=True)


def _terminal() -> Optional[Console]:
    """The console of the standard output, if it is a terminal for a line."""
    # soft_wrap: the terminal breaks long lines of the log.
    console = Console(soft_wrap=True, highlight=False)
    # The environment can force what rich takes for a terminal.
    fits = sys.stdout.isatty() and console.is_terminal
    return console if fits and not console.is_dumb_terminal else None
