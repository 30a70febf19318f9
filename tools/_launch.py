# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Run torchrun with graceful stops.

    python tools/_launch.py [flags of torchrun] SCRIPT [flags of SCRIPT]

torchrun kills its workers 30 seconds after a SIGTERM, leaves them behind after
a SIGUSR1, and ends with a traceback and exit code 1 if any worker fails. This
launcher forwards SIGTERM, SIGUSR1 and SIGINT to the workers, waits for them,
and exits with the exit codes that ``tools/train.py`` documents.

torchrun still handles SIGHUP and SIGQUIT (Ctrl-\\): with them it ends workers
that hang.
"""
import logging
import signal
import sys
import time
from types import FrameType
from typing import Any, List, Optional, Set

from torch.distributed import run
from torch.distributed.elastic import multiprocessing
from torch.distributed.elastic.multiprocessing import SubprocessContext

STOPPED = 75
# An error in the config, a training that cannot go on, a stop and a second
# signal: the worker has printed the reason.
DOCUMENTED = (2, 3, STOPPED, 130)
# The exit codes of workers that die of a forwarded signal because they do not
# handle it yet: nothing is lost then.
FORWARDED = {
    signal.SIGTERM: STOPPED,
    signal.SIGUSR1: STOPPED,
    signal.SIGINT: 130
}
# Seconds for the other workers after the first has stopped: one of them may be
# writing the checkpoint.
PATIENCE = 120


class GracefulContext(SubprocessContext):
    """The workers on this machine, which get signals and time to stop."""

    # Those of workers before a restart, too.
    received: Set[int] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unsent = [*self.received]
        self.all_started = False
        self.first_stop: Optional[float] = None

    def _start(self) -> None:
        """Start the workers; torchrun has just set its signal handlers."""
        for number in FORWARDED:
            signal.signal(number, self._forward)
        super()._start()
        self.all_started = True
        self._send()

    def _forward(self, number: int, frame: Optional[FrameType]) -> None:
        """Forward a signal; later if the workers are still being started."""
        self.received.add(number)
        self.unsent.append(number)
        if self.all_started:
            self._send()

    def _send(self) -> None:
        """Send each signal once to all workers that run.

        Not to their process groups, which include the workers of data loaders.
        """
        while self.unsent:
            number = self.unsent.pop(0)
            for handler in self.subprocess_handlers.values():
                handler.proc.send_signal(number)

    def _poll(self) -> Any:
        """Poll the workers; torchrun calls it repeatedly.

        Raises:
            SystemExit: With the documented exit code of a worker, after all
                others have ended.
        """
        codes = [
            handler.proc.poll()
            for handler in self.subprocess_handlers.values()
        ]
        failed = [code for code in codes if code]
        if None in codes and failed and set(failed) == {STOPPED}:
            # torchrun would send a SIGTERM to the groups of the others and 30
            # seconds later a SIGKILL.
            self.first_stop = self.first_stop or time.monotonic()
            if time.monotonic() - self.first_stop < PATIENCE:
                return None
        code = self._flag(failed)
        if code is None:
            return super()._poll()
        logging.getLogger(SubprocessContext.__module__).setLevel(logging.ERROR)
        self.close()
        sys.exit(code)

    def _flag(self, failed: List[int]) -> Optional[int]:
        """Find the exit code of the workers that have failed first.

        Args:
            failed (List[int]): Their exit codes; -15 is a death by SIGTERM.

        Returns:
            int: A documented one; None if torchrun is to report the failure.
        """
        codes = [
            FORWARDED[-code] if -code in self.received else code
            for code in failed
        ]
        # A failure takes precedence over a stop.
        codes = [code for code in codes if code != STOPPED] or codes
        return next((code for code in codes if code in DOCUMENTED), None)


def main() -> None:
    """Run torchrun with other workers."""
    # Before there are workers a signal ends the launcher at once, without a
    # traceback; Python would handle it only when torchrun has found the other
    # machines.
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    multiprocessing.SubprocessContext = GracefulContext
    run.main()


if __name__ == '__main__':
    main()
