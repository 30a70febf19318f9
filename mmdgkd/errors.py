# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The exceptions that end a run, with the exit codes of the tools."""
import tempfile
import traceback


def write_traceback(error: BaseException) -> str:
    """Write the traceback of an exception to a new file in the temp folder.

    Args:
        error (BaseException): The exception.

    Returns:
        str: The path of the file.
    """
    with tempfile.NamedTemporaryFile(
            'w', prefix='mmdgkd_error_', suffix='.txt', delete=False) as file:
        traceback.print_exception(error, file=file)
    return file.name


class ConfigError(ValueError):
    """A mistake in a config, a command line or a file that they name.

    The message is one line: the config key or the file, what is wrong with it
    and what would be right. The tools print it alone, without a traceback.
    """

    exit_code = 2


class TrainingError(RuntimeError):
    """A training cannot go on: its loss is not finite, or the disk is full.

    The message is one line. Earlier checkpoints are left as they were, and
    ``--resume`` goes on from them.
    """

    exit_code = 3


class TrainingStopped(Exception):
    """The run was stopped by a signal, and a checkpoint is written.

    The exit code, 75, is that of a temporary failure (``EX_TEMPFAIL``): the
    same command with ``--resume`` goes on.
    """

    exit_code = 75
