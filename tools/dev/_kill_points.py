# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Run a chain in processes that are killed at a chosen point."""
import gc
import json
import multiprocessing
import os
import os.path as osp
import signal
import socket
import sys
import threading
import time
import types
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

# Where a run is killed: around the update of an iteration, in the middle of
# writing a file and around its renaming, in a row of logits, around the end of
# a stage, before a validation is recorded, or after some time.
KINDS = ('iteration', 'checkpoint', 'ledger', 'network', 'logits', 'stage',
         'validation', 'moment')


@dataclass(frozen=True)
class KillPoint:
    """Where a run is killed.

    Args:
        kind (str): One of ``KINDS``.
        number (int): Which one of its kind, from 1; of ``moment`` the
            milliseconds.
        rank (int): The rank that counts. Defaults to 0.
    """

    kind: str
    number: int
    rank: int = 0


@dataclass(frozen=True)
class Job:
    """A run of a chain.

    Args:
        config (str): The config.
        work_dir (str): Its work dir; ``--resume`` is always on.
        options (dict): As for ``--cfg-options``.
        ranks (int): Number of processes. Defaults to 1.
    """

    config: str
    work_dir: str
    options: Dict[str, Any]
    ranks: int = 1


def run(job: Job, kill: Optional[KillPoint] = None) -> bool:
    """Train a chain to its end, or until it is killed.

    Args:
        job (Job): The run.
        kill (KillPoint, optional): Where it is killed. Defaults to None.

    Returns:
        bool: Whether it reached its end.

    Raises:
        RuntimeError: If it ended otherwise.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(
        ['mmdgkd', 'mmdgkd.engine', 'mmrazor.engine'])
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    processes = [
        context.Process(target=_main, args=(asdict(job), kill, rank, port))
        for rank in range(job.ranks)
    ]
    for process in processes:
        process.start()
    while all(process.exitcode is None for process in processes):
        time.sleep(0.01)
    while any(process.exitcode is None for process in processes):
        # A run is killed as a whole.
        if any(process.exitcode for process in processes):
            for process in processes:
                process.kill()
        time.sleep(0.01)
    codes = [process.exitcode for process in processes]
    if all(code == 0 for code in codes):
        return True
    if kill is not None and -signal.SIGKILL in codes:
        return False
    with open(_log(job)) as file:
        last = file.read()[-3000:]
    raise RuntimeError(f'{job.config} ended with {codes}:\n{last}')


def counts_of(job: Job) -> Dict[str, int]:
    """Count the kill points of each kind that a run has passed.

    Args:
        job (Job): The run, which has reached its end.
    """
    with open(_log(job) + '.json') as file:
        return json.load(file)


def _log(job: Job) -> str:
    return job.work_dir.rstrip('/') + '.log'


def _main(job: Dict, kill: Optional[KillPoint], rank: int, port: int) -> None:
    job = Job(**job)
    log = open(_log(job), 'a')
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    if job.ranks > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(job.ranks),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port))
    import torch

    torch.set_num_threads(1)
    points = _Points(kill if kill and kill.rank == rank else None)
    points.install()
    code = 1
    try:
        _train(job)
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    if rank == 0 and code == 0:
        with open(_log(job) + '.json', 'w') as file:
            json.dump(points.counts, file)
    sys.stdout.flush()
    os._exit(code)


def _train(job: Job) -> None:
    from mmengine.config import Config, config

    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.utils.distributed import end_processes

    # Formatting the configs that are written is half of a tiny run, and to
    # walk through all that was imported for garbage a third of the rest.
    config.FormatCode = lambda text, **_: (text, True)
    gc.freeze()
    cfg = Config.fromfile(job.config)
    cfg.merge_from_dict(job.options)
    cfg.work_dir, cfg.resume = job.work_dir, True
    cfg.launcher = 'pytorch' if job.ranks > 1 else 'none'
    cfg.visualizer = None
    ChainRunner(cfg).train()
    end_processes()


class _Points:
    """Counts the points that a run passes, and kills it at the chosen one."""

    def __init__(self, kill: Optional[KillPoint]) -> None:
        self.kill = kill
        self.counts: Dict[str, int] = Counter(dict.fromkeys(KINDS, 0))
        self._start = time.monotonic()

    def reach(self, kind: str) -> None:
        self.counts[kind] += 1
        if self.kill == KillPoint(kind, self.counts[kind],
                                  self.kill.rank if self.kill else 0):
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        from torch.optim.optimizer import (register_optimizer_step_post_hook,
                                           register_optimizer_step_pre_hook)

        from mmdgkd.chain import stage_training
        from mmdgkd.chain.hooks.ledger_hook import LedgerHook
        from mmdgkd.fileio import files
        for register in (register_optimizer_step_pre_hook,
                         register_optimizer_step_post_hook):
            register(lambda *_: self.reach('iteration'))
        _around(stage_training, '_write_network', lambda: self.reach('stage'))
        _around(LedgerHook, 'after_val_epoch',
                lambda: self.reach('validation'))
        files.open = self._open
        files.os = _with(os, replace=self._replace)
        if self.kill is not None and self.kill.kind == 'moment':
            threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        time.sleep(self.kill.number / 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    def _open(self, path: str, mode: str = 'r', *args: Any) -> Any:
        file = open(path, mode, *args)
        if not path.endswith('.part'):
            return file
        kind, write = _kind_of(path), file.write

        def write_in_two(data: Any) -> None:
            half = len(data) // 2
            write(data[:half])
            file.flush()
            self.reach(kind)
            write(data[half:])

        proxy = _File(file)
        proxy.write = write_in_two
        return proxy

    def _replace(self, source: str, target: str) -> None:
        kind = _kind_of(target)
        self.reach(kind)
        os.replace(source, target)
        self.reach(kind)


class _File:
    """A file whose ``write`` can be replaced."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> '_File':
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()


def _kind_of(path: str) -> str:
    name = osp.basename(path)
    if name.startswith('chain.json'):
        return 'ledger'
    if name.startswith('view_'):
        return 'logits'
    return 'checkpoint' if name.startswith(('iter_', 'epoch_')) else 'network'


def _with(module: types.ModuleType, **changes: Callable) -> Any:
    """A module with some functions replaced."""
    return types.SimpleNamespace(**{**vars(module), **changes})


def _around(owner: Any, name: str, reach: Callable[[], None]) -> None:
    inner = getattr(owner, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        reach()
        result = inner(*args, **kwargs)
        reach()
        return result

    setattr(owner, name, outer)


def outcome(work_dir: str, names: Sequence[str]) -> Dict[str, str]:
    """Collect all that must be the same after a kill, each part as a hash.

    Args:
        work_dir (str): A work dir whose chain is trained.
        names (Sequence[str]): Its networks.

    Returns:
        dict[str, str]: The weights of each network, what a resume of its last
        checkpoint would begin with (weights, optimizer, schedules, averages),
        and its metrics in the ledger; by dotted name.
    """
    from mmdgkd.fileio.checkpoint import read_checkpoint
    from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
    found: Dict[str, str] = {}
    with open(osp.join(work_dir, 'chain.json')) as file:
        ledger = json.load(file)
    for name in names:
        folder = osp.join(work_dir, name)
        parts = dict(
            network=read_checkpoint(
                osp.join(folder, f'{name}.pth'), 'work_dir')['state_dict'],
            metric=ledger['stages'][name].get('metric'))
        last = latest_checkpoint(folder)
        if last:
            checkpoint = read_checkpoint(last, 'work_dir')
            parts.update({
                key: checkpoint.get(key)
                for key in ('state_dict', 'optimizer', 'param_schedulers',
                            'ema_state_dict')
            })
        _flatten(parts, name, found)
    return found


def differences(first: Dict[str, str], second: Dict[str, str]) -> List[str]:
    """Find the parts in which two outcomes differ.

    Args:
        first (dict[str, str]): Of :func:`outcome`.
        second (dict[str, str]): Another one.
    """
    return [
        key for key in sorted(first | second)
        if first.get(key) != second.get(key)
    ]


def _flatten(value: Any, key: str, found: Dict[str, str]) -> None:
    import hashlib

    import torch
    if isinstance(value, dict):
        for name, item in value.items():
            _flatten(item, f'{key}.{name}', found)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _flatten(item, f'{key}.{i}', found)
    elif isinstance(value, torch.Tensor):
        data = value.contiguous().reshape(-1).view(torch.uint8).numpy()
        digest = hashlib.sha256(data.tobytes()).hexdigest()[:16]
        found[key] = f'{value.dtype} {tuple(value.shape)} {digest}'
    else:
        found[key] = repr(value)
