# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Signals that stop a run, and the common decision of all ranks."""
import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from multiprocessing import util
from typing import Any, Deque, Dict, Optional

import torch
from mmengine.dist import get_comm_device, get_rank, get_world_size

from mmdgkd.utils.device import DeviceFlag
from ._signal_watch import SignalWatch, is_second

# Slurm sends SIGUSR1 before it preempts; schedulers and users the others.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

_active = 0
_mask: Any = None


class StopSignals:
    """A context in which signals request a stop instead of ending the run.

    A second one, Ctrl-C or SIGTERM, ends it at once. Processes that are forked
    in it, such as the workers of data loaders, do not get these signals: Slurm
    and terminals send them to all processes, and an iteration cannot be
    finished without its data.
    """

    def __init__(self) -> None:
        self.received: Optional[signal.Signals] = None
        self._at = 0.
        self._before: Dict[int, Any] = {}
        self._watch = SignalWatch()
        self._votes: Deque[_Vote] = deque()

    def __enter__(self) -> 'StopSignals':
        global _active
        _active += 1
        # The last registered runs first: before that of multiprocessing.
        atexit.unregister(_end_workers)
        atexit.register(_end_workers)
        # Python allows handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._receive)
            self._watch.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        global _active
        _active -= 1
        if self._before:
            self._watch.__exit__()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: Any) -> None:
        # Slurm sends SIGUSR1 some time before SIGTERM, which is no second one.
        if self.received is not None and (self.received,
                                          number) != (signal.SIGUSR1,
                                                      signal.SIGTERM):
            if is_second(number, time.monotonic() - self._at):
                raise KeyboardInterrupt
            return
        self.received, self._at = signal.Signals(number), time.monotonic()
        if get_rank() == 0:
            # Not by print or a logger: the signal may interrupt them.
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                f'\n{self.name}: the iteration is finished and a checkpoint '
                'written; Ctrl-C or another SIGTERM stops at once\n'.encode())

    def vote(self) -> bool:
        """Whether all ranks stop now; to be called on all of them.

        It waits for none: the signals that the ranks had received some calls
        ago count.
        """
        if get_world_size() == 1:
            return self.received is not None
        self._votes.append(_Vote(self.received is not None))
        return (len(self._votes) > self._votes[0].lag
                and self._votes.popleft().read())

    def decide(self) -> bool:
        """Whether all ranks stop now; waits for all ranks."""
        if get_world_size() == 1:
            return self.received is not None
        self._votes.append(_Vote(self.received is not None))
        votes, self._votes = self._votes, deque()
        return any([vote.read() for vote in votes])

    @property
    def name(self) -> str:
        """Name of the signal; 'a signal' if another rank has received it."""
        return self.received.name if self.received else 'a signal'


class _Vote:
    """Whether any rank stops; known when the last one has voted.

    Among the other messages of the run, in its own process group: all ranks
    send them in the same order.

    Args:
        stops (bool): Whether this one does.
    """

    def __init__(self, stops: bool) -> None:
        # Filled there: a copy would wait for the device.
        flag = torch.full((), float(stops), device=get_comm_device())
        self._work = torch.distributed.all_reduce(
            flag, torch.distributed.ReduceOp.MAX, async_op=True)
        # An accelerator is some iterations behind.
        self.lag = 2 if flag.is_cuda else 1
        if flag.is_cuda:
            # For the device alone: what follows there is after the message.
            self._work.wait()
        self._flag = DeviceFlag(flag)

    def read(self) -> bool:
        """Whether any rank stops."""
        self._work.wait()
        return self._flag.read()


def _end_workers() -> None:
    """Kill the workers that are left when this process ends.

    Python would send them a SIGTERM, which they do not get, and wait.
    """
    # PyTorch raises an error wherever a worker dies.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()


def _before_fork() -> None:
    global _mask
    if _active:
        _mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _after_fork() -> None:
    global _mask
    if _mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask)
        _mask = None


def _spawn(*args: Any) -> int:
    """Start a process that is not forked, as by the method 'spawn'."""
    _before_fork()
    try:
        return _spawn_unmasked(*args)
    finally:
        _after_fork()


# It is no fork to Python, but the new process inherits the mask likewise.
_spawn_unmasked = util.spawnv_passfds
util.spawnv_passfds = _spawn
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
