# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What ends a run, and with which exit code of the tools."""


class ConfigError(ValueError):
    """A mistake in a config, a command line or a file that they name.

    The message is one line: the config key or the file, what is wrong with it
    and what would be right. The tools print it alone, without a traceback.
    """

    exit_code = 2


class TrainingError(RuntimeError):
    """A training cannot go on: its loss is not finite, or the disk is full.

    The message is one line. What was there before is left as it was, and
    ``--resume`` goes on from it.
    """

    exit_code = 3


class TrainingStopped(Exception):
    """A signal has asked the run to stop, and a checkpoint is written.

    The exit code, 75, is that of a temporary failure (``EX_TEMPFAIL``): the
    same command with ``--resume`` goes on.
    """

    exit_code = 75
