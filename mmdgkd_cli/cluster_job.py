# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A command of mmdgkd as a job of submitit, in a process of its own."""
import os
import signal
import subprocess
import sys
from typing import Any, List

# How a job is told to stop and be queued again. submitit reads the variable
# when it is imported, and in the job.
os.environ['SUBMITIT_PREEMPT_SIGNAL'] = 'USR1'

_STOPPED = 75


class ClusterJob:
    """Runs a command, which is queued again when it was preempted.

    SIGUSR1 and SIGTERM are sent on to it: it writes a checkpoint, and ends
    with exit code 75. After SIGUSR1 the job is queued again.

    Args:
        command (str): Of mmdgkd, such as ``'train'``.
        words (list[str]): Its arguments.
    """

    def __init__(self, command: str, words: List[str]) -> None:
        self.command = command
        self.words = words

    def __call__(self) -> None:
        """Run it.

        Raises:
            RuntimeError: If it fails.
        """
        queue_again: Any = signal.getsignal(signal.SIGUSR1)
        received = []
        env = dict(os.environ)
        if 'SLURM_JOB_ID' in env:
            # Another one for each job of a machine.
            port = 20000 + int(env['SLURM_JOB_ID']) % 10000
            env.setdefault('MASTER_PORT', str(port))
        process = subprocess.Popen([
            sys.executable, '-c',
            f'from mmdgkd_cli import main; main({self.command!r})', *self.words
        ],
                                   env=env)

        def forward(number: int, _: Any) -> None:
            received.append(number)
            process.send_signal(number)

        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, forward)
        code = process.wait()
        signal.signal(signal.SIGUSR1, queue_again)
        # It may have had no handler yet.
        stopped = code in (_STOPPED, -signal.SIGUSR1)
        if stopped and signal.SIGUSR1 in received:
            # It ends the first process of the job; the others must not fail
            # before.
            queue_again(signal.SIGUSR1, None)
        elif code:
            raise RuntimeError(f'mmdgkd {self.command}: exit code {code}')

    def checkpoint(self) -> Any:
        """What is queued again: the same; --resume goes on."""
        from submitit.helpers import DelayedSubmission
        return DelayedSubmission(self)
