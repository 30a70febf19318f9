# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Keeping the console short: what is not printed is in the log files."""
import contextlib
import logging
import os
import os.path as osp
import warnings
from logging.handlers import MemoryHandler
from typing import Any, Iterator

import mmcv
import mmengine
import mmpretrain
import mmrazor
import torch
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner

# Their folders.
_UPSTREAM = tuple(
    osp.dirname(package.__file__) + os.sep
    for package in (mmcv, mmengine, mmpretrain, mmrazor, torch))
# Warnings of MMEngine's own checkpoint hook about itself.
_SELF_MADE = ('"FileClient" will be', '"HardDiskBackend" is the alias')


def quiet(logger: logging.Logger) -> None:
    """Print only the warnings and errors of a logger. Its file keeps all.

    Args:
        logger (logging.Logger): Such as that of a Runner.
    """
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(max(handler.level, logging.WARNING))
            handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_SELF_MADE)


class QuietRunner(Runner):
    """A Runner that prints only warnings and errors. Its log file has all."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; the environment is dumped after it."""
        logger = super().build_logger(*args, **kwargs)
        quiet(logger)
        return logger


class SilentRunner(Runner):
    """A Runner that prints nothing. Its log file has all."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger without its console."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.CRITICAL + 1)
        return logger


@contextlib.contextmanager
def upstream_logged(kept: MemoryHandler) -> Iterator[None]:
    """Log what MMEngine, MMRazor, MMPretrain and PyTorch would print.

    Their Python warnings go to the current logger, whose messages ``kept``
    gets, too. Warnings of other packages are printed.

    Args:
        kept (MemoryHandler): Holds messages until there is a log file, which
            is its target then.
    """
    logger = MMLogger.get_current_instance()
    before = [(handler, handler.level) for handler in logger.handlers]
    show = warnings.showwarning

    def log(message: Warning, category: type, filename: str, lineno: int,
            *others: Any) -> None:
        if filename.startswith(_UPSTREAM):
            text = warnings.formatwarning(message, category, filename, lineno)
            print_log(text.rstrip(), 'current')
        else:
            show(message, category, filename, lineno, *others)

    with warnings.catch_warnings():
        warnings.showwarning = log
        quiet(logger)
        logger.addHandler(kept)
        try:
            yield
        finally:
            kept.flush()
            logger.removeHandler(kept)
            for handler, level in before:
                handler.setLevel(level)
                handler.removeFilter(_is_news)
