# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Small hooks without which a resumed training would differ."""
from typing import Any, Dict

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.visualization import TensorboardVisBackend
from mmrazor.registry import HOOKS

from mmdgkd.utils.random import seed_all, step_seed


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Makes what the model draws in a step a function of (seed, step, rank).

    Dropout, DropPath, MixUp and the like then draw the same in a resumed run,
    though MMEngine's checkpoints hold no state of any generator.
    """

    # Right before the step.
    priority = 'LOWEST'

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Seed the generators of Python, NumPy and PyTorch."""
        seed_all(step_seed(runner.seed, runner.iter, runner.rank), device=True)


class DataOnlyHook(Hook):
    """Removes from a checkpoint what MMEngine would execute.

    That is the config in its meta, which a Runner runs when it resumes.
    """

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Remove the config."""
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)


class CurvesResumeHook(Hook):
    """Removes from TensorBoard what a resumed training does again.

    That is what was logged between the checkpoint and the end of the run. It
    writes what PyTorch's ``SummaryWriter(purge_step=...)`` does, which
    MMEngine's backend does not pass on.
    """

    def before_train(self, runner: Any) -> None:
        """Write from which step on."""
        if not is_main_process():
            return
        for backend in runner.visualizer._vis_backends.values():
            if isinstance(backend, TensorboardVisBackend):
                from tensorboard.compat.proto.event_pb2 import (Event,
                                                                SessionLog)
                backend.experiment.file_writer.add_event(
                    Event(session_log=SessionLog(status=SessionLog.START)),
                    step=runner.iter + 1)
