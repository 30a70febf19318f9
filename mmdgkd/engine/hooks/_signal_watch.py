# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Signals that come while the main thread hangs."""
import re
import signal
import socket
import sys
import threading
import time
from typing import Any, Optional

from mmengine.dist import get_world_size

from mmdgkd.errors import TrainingStopped
from mmdgkd.utils.peers import end_at_once

# Within the 30 seconds that Slurm and Kubernetes give after a SIGTERM.
PATIENCE = 15
# Schedulers and launchers may both send the first one.
APART = 1
_AT_ONCE = 130
# Where Python is while a collective, or a device, is waited for.
_WAITS = re.compile(r'[/\\]torch[/\\](distributed|autograd|cuda)[/\\]|'
                    r'_stop_signals\.py$')


class SignalWatch:
    """Ends the process after a signal if its main thread hangs.

    Python calls a handler in the main thread, between two of its steps: one
    that waits in a collective for a process that is gone calls none. There it
    may hang for 15 seconds after a SIGTERM or Ctrl-C, and anywhere for two
    after a second one. SIGUSR1 comes long before the end: after it no time is
    counted.
    """

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._ended = False

    def __enter__(self) -> 'SignalWatch':
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        # The number of each signal is written there when it comes.
        self._before = signal.set_wakeup_fd(
            self._write.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        signal.set_wakeup_fd(self._before)
        self._ended = True
        self._write.send(b'\0')
        self._thread.join()
        self._read.close()
        self._write.close()

    def _watch(self) -> None:
        first: Optional[signal.Signals] = None
        at, again, still = 0., False, 0
        place: Any = None
        while True:
            self._read.settimeout(None if first is None else 1)
            try:
                received = self._read.recv(64)
            except TimeoutError:
                received = b''
            if self._ended:
                return
            for number in received:
                if number not in (signal.SIGTERM, signal.SIGINT):
                    continue
                if first is None:
                    first, at = signal.Signals(number), time.monotonic()
                else:
                    again |= is_second(number, time.monotonic() - at)
            if received or first is None:
                continue
            # Where it hangs its frame makes no step.
            frame = sys._current_frames()[self._main]
            here = frame, frame.f_lasti
            still, place = still + 1 if here == place else 0, here
            if again and still >= 2:
                end_at_once(
                    'stopped at once; --resume goes on from the last '
                    'checkpoint', _AT_ONCE)
            waits = _WAITS.search(frame.f_code.co_filename)
            if waits and get_world_size() > 1 and still >= PATIENCE:
                end_at_once(
                    f'stopped by {first.name}: the iteration waits for '
                    f'another process for {PATIENCE} s; --resume goes on from '
                    'the last checkpoint', TrainingStopped.exit_code)


def is_second(number: int, seconds: float) -> bool:
    """Whether a signal, after SIGTERM or Ctrl-C, ends a run at once.

    Args:
        number (int): Its number.
        seconds (float): Since the first one.
    """
    return number == signal.SIGINT or (number == signal.SIGTERM
                                       and seconds >= APART)
