# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp
from typing import Any, Dict, Mapping, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from mmdgkd.chain.export.weights_file import facts_of
from mmdgkd.chain.splits import split_entry
from mmdgkd.engine.loops.position import progress_of
from mmdgkd.errors import ConfigError


def snapshot_file(folder: str, unit: str, step: int) -> str:
    """The file of a snapshot; its name is not that of a checkpoint.

    Args:
        folder (str): The folder of the stage.
        unit (str): ``'epoch'`` or ``'iter'``.
        step (int): After how many of them.
    """
    return osp.join(folder, f'snapshot_{unit}_{step}.pth')


@HOOKS.register_module()
class SnapshotHook(Hook):
    """Keeps the weights of a stage as a checkpoint of some steps has them.

    With an ``EMAHook`` these are the averages. No checkpoint replaces the
    files, which have the weights alone and no time: written again in a
    resumed stage they have the same bytes.

    Args:
        steps (Sequence[int]): After which epochs, or iterations of an
            iteration-based training.
        split (Mapping, optional): See :func:`split_of`; it is in the files.
            Defaults to None: none.
    """

    # Right before the checkpoint of the same step: a stage never resumes from
    # one whose snapshot is missing.
    priority = 89
    # It only writes: stages that were trained without it go on.
    changes_training = False

    def __init__(self,
                 steps: Sequence[int],
                 split: Optional[Mapping[str, Any]] = None) -> None:
        self.steps = tuple(steps)
        self.split = dict(split or {})
        self._writes = False

    def before_train(self, runner: Any) -> None:
        """Check that those of the steps that are done are there.

        Raises:
            ConfigError: If one is not.
        """
        unit, done, _ = progress_of(runner)
        for step in self.steps:
            path = snapshot_file(runner.work_dir, unit, step)
            if step <= done and not osp.isfile(path):
                raise ConfigError(
                    f'{path!r}: is missing, and the training is at {unit} '
                    f'{done} already; put it back, leave that snapshot out, '
                    f'or remove {runner.work_dir!r} to train the stage again')

    def after_train_epoch(self, runner: Any) -> None:
        """Keep the weights of an epoch-based training."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._keep(runner, 'epoch', runner.epoch + 1)

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Keep the weights of an iteration-based training."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._keep(runner, 'iter', runner.iter + 1)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Leave what a network's own file has, after averages were put in."""
        if not self._writes:
            return
        kept = dict(
            state_dict=checkpoint['state_dict'],
            meta=dict(
                facts_of(checkpoint['meta']),
                **split_entry(self.split, runner.train_dataloader.dataset)),
            # The hook that writes checkpoints reads it.
            message_hub=dict(runtime_info={}))
        checkpoint.clear()
        checkpoint.update(kept)

    def _keep(self, runner: Any, unit: str, step: int) -> None:
        if step not in self.steps:
            return
        folder, name = osp.split(snapshot_file(runner.work_dir, unit, step))
        self._writes = True
        try:
            runner.save_checkpoint(
                folder,
                name,
                save_optimizer=False,
                save_param_scheduler=False,
                by_epoch=unit == 'epoch',
                backend_args=dict(backend='atomic'))
        finally:
            self._writes = False
