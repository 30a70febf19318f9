# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The end of a Runner: of its processes, and of its name."""
import contextlib
import gc
import traceback
from typing import Iterator

from mmengine.runner import Runner

from mmdgkd.errors import TrainingError, TrainingStopped


def clean_up(runner: Runner) -> None:
    """End what outlives a Runner that has done its work.

    Persistent workers live as long as the iterator of their data loader. If
    that goes only with the Runner, which is full of cycles, its queues may be
    collected first: then no worker hears that it is to end, and each is waited
    for in vain for five seconds.

    MMEngine gives the logger, the message hub and the visualizer of a name to
    the next Runner of that name, too. The time is part of it, but a Runner of
    the same network that begins in the same second would write into the files
    of this one. (Its scope stays: it has no file, and it is the current one
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
        # On a full disk what was not written yet is not written now, either.
        with contextlib.suppress(OSError, ValueError):
            handler.close()
    for named in (runner.logger, runner.message_hub, runner.visualizer):
        # MMEngine knows a visualizer by its class and by Visualizer.
        for kind in type(named).__mro__:
            known = vars(kind).get('_instance_dict', {})
            known.pop(named.instance_name, None)
    gc.collect()


@contextlib.contextmanager
def cleaned_up(runner: Runner) -> Iterator[None]:
    """Release a Runner, however its work ends.

    Args:
        runner (Runner): It must not be used any more after that.
    """
    try:
        yield
    except (KeyboardInterrupt, TrainingError, TrainingStopped) as error:
        # The iterators are held by what was called; of any other error, which
        # somebody may want to look into, that is left.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        clean_up(runner)
