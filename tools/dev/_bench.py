# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Time stages of a chain as whole Runners, in turns, in one process."""
import contextlib
import copy
import ctypes
import os.path as osp
import sys
import time
from inspect import signature
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmdgkd.engine.runner_cleanup import clean_up
from mmdgkd.utils.distributed import fit_to_device

WARM_UP = 3  # steps of each run that are not counted


class Stopwatch(Hook):
    """Measures the time of a run, from the end of its first steps."""

    priority = 'LOWEST'

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.start = self.end = 0.0
        self.steps = 0

    def before_train(self, runner: Any) -> None:
        """Start here if all steps count."""
        if self.warm_up == 0:
            self.start = now()

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any,
                         **__: Any) -> None:
        """Count the step."""
        self.steps += 1
        if self.steps == self.warm_up:
            self.start = now()

    def after_train(self, runner: Any) -> None:
        """Stop after the last step and all validations."""
        self.end = now()

    @property
    def seconds(self) -> float:
        """The time of the counted steps."""
        return self.end - self.start


def now() -> float:
    """The time, after a sync with the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Memory:
    """The peak memory of a case beyond that of before, in MiB."""

    def __init__(self) -> None:
        self.before = 0.0
        self.possible = True

    def start(self) -> None:
        """Release what is free, and reset the peak."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
            return
        try:
            ctypes.CDLL('libc.so.6').malloc_trim(0)
            with open('/proc/self/clear_refs', 'w') as file:
                file.write('5')  # resets the peak
            self.before = _status('VmRSS')
        except OSError:
            self.possible = False

    def peak(self) -> Optional[float]:
        """The peak since :meth:`start`; None if it is unknown."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / 2**20 - self.before
        return _status('VmHWM') - self.before if self.possible else None


def _status(key: str) -> float:
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


class Case:
    """A stage that runs several times.

    Args:
        name (str): Its name.
        cfg (Config): Its config.
        loader (DataLoader | tuple): Its training data, which all cases share;
            or that and the data for validation.
        folder (str): Where it writes.
        warm_up (int): Steps of each run that are not counted.
            Defaults to 3.
    """

    def __init__(self,
                 name: str,
                 cfg: Config,
                 loader: Any,
                 folder: str,
                 warm_up: int = WARM_UP) -> None:
        self.name = name
        self.cfg = cfg
        self.loader, self.val_loader = loader if isinstance(
            loader, tuple) else (loader, None)
        self.folder = folder
        self.warm_up = warm_up
        self.ms: List[float] = []
        self.bare_ms: List[float] = []
        self.peaks: List[float] = []
        self.lookups: Dict[str, int] = {}
        self._count = 0
        with quiet(osp.join(folder, 'log.txt')):
            self.model = MODELS.build(copy.deepcopy(cfg.model))

    def run(self, counts: bool = True) -> float:
        """Train for one run.

        Args:
            counts (bool): Whether it is measured. Defaults to True.

        Returns:
            float: Seconds of the steps that count.
        """
        self._count += 1
        cfg = Config(copy.deepcopy(self.cfg.to_dict()), cfg_text=' ')
        cfg.model, cfg.train_dataloader = {}, {}
        cfg.work_dir = osp.join(self.folder, self.name)
        cfg.experiment_name = f'{self.name}_{self._count}_{id(self)}'
        fit_to_device(cfg)
        memory, watch = Memory(), Stopwatch(self.warm_up)
        parts = {
            key: value
            for key, value in cfg.items() if key not in ('runner_type', )
        }
        parts.update(model=self.model, train_dataloader=self.loader)
        if self.val_loader is not None:
            parts.update(val_dataloader=self.val_loader)
        with quiet(osp.join(self.folder, 'log.txt')):
            runner = Runner(**_arguments(parts), cfg=cfg)
            runner.register_hook(watch)
            memory.start()
            runner.train()
            for hook in runner.hooks:
                if hasattr(hook, 'store'):
                    self.lookups = dict(
                        recalled=0, computed=0) | _sums(hook.store.counts)
            clean_up(runner)
        if counts:
            self.ms.append(1000 * watch.seconds / (watch.steps - self.warm_up))
            peak = memory.peak()
            if peak is not None:
                self.peaks.append(peak)
        return watch.seconds

    def run_bare(self) -> None:
        """The same steps in a bare loop, without Runner, hooks and logs."""
        model = self.model.train()
        optimizer_cfg = dict(self.cfg.optim_wrapper.optimizer)
        kind = getattr(torch.optim, optimizer_cfg.pop('type'))
        optimizer = kind(model.parameters(), **optimizer_cfg)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        amp = 'Amp' in str(self.cfg.optim_wrapper.get('type'))
        dtype = torch.float16 if device == 'cuda' else torch.bfloat16
        scaler = torch.amp.GradScaler(device, enabled=amp and device == 'cuda')
        start = 0.0
        for step, data in enumerate(self.loader, 1):
            with torch.autocast(device, dtype, enabled=amp):
                data = model.data_preprocessor(data, True)
                losses = model(**data, mode='loss')
                loss = sum(value.mean() for key, value in losses.items()
                           if 'loss' in key)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if step == self.warm_up:
                start = now()
        self.bare_ms.append(1000 * (now() - start) / (step - self.warm_up))


def _arguments(cfg: Dict[str, Any]) -> Dict[str, Any]:
    known = signature(Runner).parameters
    return {key: cfg[key] for key in cfg if key in known and key != 'cfg'}


def _sums(counts: Dict[str, Dict[str, int]]) -> Dict[str, int]:
    return {
        key: sum(count[key] for count in counts.values())
        for key in ('recalled', 'computed')
    }


@contextlib.contextmanager
def quiet(path: str) -> Iterator[None]:
    """Redirect stdout and stderr to a file.

    Args:
        path (str): The file; it is appended to.
    """
    with open(path, 'a') as file, contextlib.redirect_stdout(
            file), contextlib.redirect_stderr(file):
        yield
    sys.stdout.flush()
