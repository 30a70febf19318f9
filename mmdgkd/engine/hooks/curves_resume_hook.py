# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.visualization import TensorboardVisBackend


class CurvesResumeHook(Hook):
    """Takes out of TensorBoard what a resumed training does again.

    That is what was logged between the checkpoint and the end of the run. It
    says so in the way of PyTorch's ``SummaryWriter(purge_step=...)``, which
    MMEngine's backend does not pass on.
    """

    def before_train(self, runner: Any) -> None:
        """Say from where it goes on."""
        if not is_main_process():
            return
        for backend in runner.visualizer._vis_backends.values():
            if isinstance(backend, TensorboardVisBackend):
                from tensorboard.compat.proto.event_pb2 import (Event,
                                                                SessionLog)
                backend.experiment.file_writer.add_event(
                    Event(session_log=SessionLog(status=SessionLog.START)),
                    step=runner.iter + 1)
