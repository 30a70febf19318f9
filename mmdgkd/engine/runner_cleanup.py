# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The cleanup of a Runner: its processes and its name."""
import contextlib
import gc
import traceback
from typing import Iterator

from mmengine.runner import Runner

from mmdgkd.errors import TrainingError, TrainingStopped


def clean_up(runner: Runner) -> None:
    """End what outlives a Runner.

    Persistent workers live as long as the iterator of their data loader. If
    that is collected only with the Runner, which is full of cycles, its queues
    may be collected first: then no worker gets the message to end, and PyTorch
    waits five seconds for each.

    MMEngine reuses the logger, the message hub and the visualizer for the next
    Runner of the same name. The time is part of the name, but a Runner of the
    same network that begins in the same second would write into the files of
    this one. (The scope stays: it has no file, and it is the current one
    between two stages.)

    Args:
        runner (Runner): It must not be used any more.
    """
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        for holder, name in ((loop, 'dataloader_iterator'),
                             (getattr(loop, 'dataloader', None), '_iterator')):
            if getattr(holder, name, None) is not None:
                setattr(holder, name, None)
    for handler in runner.logger.handlers:
        # On a full disk the rest cannot be written now, either.
        with contextlib.suppress(OSError, ValueError):
            handler.close()
    for named in (runner.logger, runner.message_hub, runner.visualizer):
        # MMEngine keeps a visualizer at its class and at Visualizer.
        for kind in type(named).__mro__:
            known = vars(kind).get('_instance_dict', {})
            known.pop(named.instance_name, None)
    gc.collect()


@contextlib.contextmanager
def cleaned_up(runner: Runner) -> Iterator[None]:
    """Clean up a Runner, however its work ends.

    Args:
        runner (Runner): It must not be used any more after that.
    """
    try:
        yield
    except (KeyboardInterrupt, TrainingError, TrainingStopped) as error:
        # The frames hold the iterators; those of other errors are kept for
        # debugging.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        clean_up(runner)
