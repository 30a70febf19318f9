# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Processes that vanish: a machine that fails, a network that is cut."""
import atexit
import contextlib
import itertools
import os
import re
import sys
import threading
import time
from datetime import timedelta
from typing import List, Optional, Tuple

from torch.distributed import (DistNetworkError, PrefixStore, TCPStore,
                               get_rank, get_world_size, is_initialized)

from mmdgkd.errors import TrainingStopped

_LEFT, _FAILED = b'left', b'failed '
# What gloo, whose errors have no class, and NCCL say of a lost connection.
_LOST = re.compile(
    '/gloo/.*(closed by peer|reset by peer|broken pipe|no route to host|'
    'connection timed out)|ncclRemoteError', re.IGNORECASE | re.DOTALL)


class PeerWatch:
    """Ends this process if another one gives no heartbeat any more.

    A collective waits for a process that is gone: for half an hour with gloo,
    for ten minutes with NCCL. So each process counts in the store of the
    process group, in a thread of its own, and looks at the counts of the
    others. It counts intervals, not the clock: a process that was itself
    suspended for a while does not take the others for gone.

    Args:
        seconds (float): How long a process may give none, once all have begun.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # Each looks at all: fewer times where they are many.
        self._interval = min(seconds / 8, max(5, get_world_size() / 20))
        self._ended = threading.Event()
        self._reached = False
        self._own = 0
        self._failure: Optional[Tuple[int, int]] = None
        # Of its own: an operation of another thread may block a store. That
        # of a launcher has what the processes before a restart wrote.
        self._store = PrefixStore(f'mmdgkd_{restarts()}', client(seconds))
        self._rank = get_rank()
        self._keys = [f'alive_{rank}' for rank in range(get_world_size())]
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._count, self._watch_store)
        ]

    def start(self) -> None:
        """Watch until :meth:`end`; to be called on all processes."""
        # At once: one that vanishes before is not missed.
        with contextlib.suppress(RuntimeError):
            self._own = self._store.add('starts', 1)
            self._store.set(self._keys[self._rank], f'{self._own} 0')
        for thread in self._threads:
            thread.start()
        # A process that ends by itself is not gone; one that is killed is.
        atexit.register(self.end)

    def end(self, code: int = 0) -> None:
        """Watch no longer, and tell the others so.

        Args:
            code (int): The exit code of a failure. Defaults to 0: of none.
        """
        atexit.unregister(self.end)
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        # A thread that waits for the store has locked it.
        if not self._threads[0].is_alive():
            text = _FAILED + str(code).encode() if code else _LEFT
            with contextlib.suppress(RuntimeError):
                self._store.set(self._keys[self._rank], text)
            if code and self._has_store():
                # It ends with this process: the others read it before.
                time.sleep(2 * self._interval)

    def failure(self) -> Optional[Tuple[int, int]]:
        """The rank and the exit code of a process that has failed, if any."""
        with contextlib.suppress(RuntimeError):
            self._read()
        return self._failure

    def _has_store(self) -> bool:
        return self._rank == 0 and not launcher_has_store()

    def _read(self) -> Optional[List[bytes]]:
        """What all have written, once all have begun."""
        if not self._store.check(self._keys):
            return None
        found = self._store.multi_get(self._keys)
        for rank, text in enumerate(found):
            if text.startswith(_FAILED):
                self._failure = rank, int(text.removeprefix(_FAILED))
        return found

    def _count(self) -> None:
        # The store may be gone: _watch_store ends this process then.
        with contextlib.suppress(RuntimeError):
            self._count_in_store()

    def _count_in_store(self) -> None:
        store, keys = self._store, self._keys
        counts, missed = [b''] * len(keys), [0.] * len(keys)
        for count in itertools.count():
            store.set(keys[self._rank], f'{self._own} {count}')
            found = self._read()
            if found is not None:
                missed = [
                    0. if new != old or new == _LEFT else had + self._interval
                    for new, old, had in zip(found, counts, missed)
                ]
                counts = found
            self._reached = True
            gone = [
                rank for rank, had in enumerate(missed)
                if had >= self.seconds and rank != self._rank
            ]
            if gone:
                ranks = ', '.join(map(str, gone[:8])) + ', ...' * (
                    len(gone) > 8)
                self._stop(f'rank {ranks}')
            if self._ended.wait(self._interval):
                return

    def _watch_store(self) -> None:
        missed = 0.
        while not self._ended.wait(self._interval):
            missed = 0. if self._reached else missed + self._interval
            self._reached = False
            if missed >= self.seconds:
                self._stop('the first process or its launcher')

    def _stop(self, who: str) -> None:
        if self._failure:
            rank, code = self._failure
            end_at_once(f'error: rank {rank} has failed', code)
        end_at_once(
            f'stopped: no heartbeat of {who} for {self.seconds:g} s '
            '(env_cfg.peer_timeout); --resume goes on from the last '
            'checkpoint', code_of_lost_peer())


def client(seconds: float) -> TCPStore:
    """Another client of the store of the process group.

    Args:
        seconds (float): How long an operation may take, a minute at least.
    """
    return TCPStore(
        os.environ['MASTER_ADDR'],
        int(os.environ['MASTER_PORT']),
        is_master=False,
        timeout=timedelta(seconds=max(seconds, 60)))


def launcher_has_store() -> bool:
    """Whether it outlives the processes; else it is in the first one."""
    return os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'


def restarts() -> int:
    """How often torchrun has restarted the processes."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))


def code_of_lost_peer() -> int:
    """The exit code where another process has ended.

    It is that of a failure, 1, if torchrun then restarts the processes.
    """
    limit = int(os.environ.get('TORCHELASTIC_MAX_RESTARTS', 0))
    return 1 if restarts() < limit else TrainingStopped.exit_code


def is_of_lost_peer(error: BaseException) -> bool:
    """Whether an error says that another process has ended.

    Args:
        error (BaseException): Any.
    """
    # Before, it is about the address or the port.
    return is_initialized() and (isinstance(error, DistNetworkError)
                                 or isinstance(error, RuntimeError)
                                 and bool(_LOST.search(str(error))))


def end_at_once(message: str, code: int) -> None:
    """End this process although its main thread hangs.

    Args:
        message (str): The reason, for stderr, from one process a machine.
        code (int): The exit code.
    """
    rank = os.environ.get('RANK', '0')
    where = '' if rank == '0' else f'[rank {rank}] '
    try:
        if os.environ.get('LOCAL_RANK', '0') == '0':
            # Not by print: the main thread may hold its lock.
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2,
                     f'\n{where}{message}\n'.encode())
    finally:
        os._exit(code)
