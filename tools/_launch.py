# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Run torchrun, but let its workers end as they want to.

    python tools/_launch.py [flags of torchrun] SCRIPT [flags of SCRIPT]

torchrun itself kills its workers 30 seconds after it got a SIGTERM, leaves
them behind when it gets a SIGUSR1, and answers every end of a worker that is
no success with a traceback and exit code 1. Here SIGTERM, SIGUSR1 and SIGINT
are handed on to the workers, which are then waited for, and the exit codes
that ``tools/train.py`` documents come through.

SIGHUP and SIGQUIT (Ctrl-\\) still are torchrun's: with them it ends workers
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
# A mistake in the config, a training that stopped itself, a kind stop and a
# second Ctrl-C: a worker has said all there is to say before it exits so.
DOCUMENTED = (2, 3, STOPPED, 130)
# What a worker's death counts as if it came from a signal that was handed on,
# before the worker was far enough to handle it: nothing is lost then.
FORWARDED = {
    signal.SIGTERM: STOPPED,
    signal.SIGUSR1: STOPPED,
    signal.SIGINT: 130
}
# Seconds for the other workers, from when the first has stopped kindly: one
# of them may be writing the checkpoint.
PATIENCE = 120


class KindContext(SubprocessContext):
    """The workers on this machine, who are asked to stop, not made to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.received: Set[int] = set()
        self.unsent: List[int] = []
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
        """Handle a signal; one that comes while they start is sent later."""
        self.received.add(number)
        self.unsent.append(number)
        if self.all_started:
            self._send()

    def _send(self) -> None:
        """Send each signal once to all workers that run.

        Not to their process groups: the workers of a DataLoader, which die of
        it, are in there.
        """
        while self.unsent:
            number = self.unsent.pop(0)
            for handler in self.subprocess_handlers.values():
                handler.proc.send_signal(number)

    def _poll(self) -> Any:
        """Look at the workers; torchrun does so all the time.

        Raises:
            SystemExit: With the exit code of a worker that has ended with a
                documented one, after all others have ended too.
        """
        codes = [
            handler.proc.poll()
            for handler in self.subprocess_handlers.values()
        ]
        failed = [code for code in codes if code]
        if None in codes and failed and set(failed) == {STOPPED}:
            # torchrun would now send a SIGTERM to the others' whole groups
            # and 30 seconds later a SIGKILL.
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
        """Find the exit code of those who have failed first.

        Args:
            failed (List[int]): Their exit codes, of torchrun's kind: -15 is a
                death by SIGTERM.

        Returns:
            int: A documented one; None if none is and torchrun shall report.
        """
        codes = [
            FORWARDED[-code] if -code in self.received else code
            for code in failed
        ]
        # That some have stopped is no news if another could not.
        codes = [code for code in codes if code != STOPPED] or codes
        return next((code for code in codes if code in DOCUMENTED), None)


def main() -> None:
    """Do as torchrun does, with other workers."""
    # Until there are workers a signal ends the launcher at once, without a
    # traceback; to let Python handle it would take until torchrun has found
    # the other machines.
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    multiprocessing.SubprocessContext = KindContext
    run.main()


if __name__ == '__main__':
    main()
