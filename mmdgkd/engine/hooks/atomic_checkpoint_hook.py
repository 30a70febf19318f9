# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import os
import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from mmdgkd.fileio.checkpoint import plain
from mmdgkd.fileio.stage_checkpoints import remove_old_checkpoints
from mmdgkd.utils.metrics import number_of, rule_of
from ._rank_state import collect_rank_states, restore_rank_state
from .finite_loss_hook import FiniteLossHook


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` with files that resume exactly.

    - Writes are atomic: a checkpoint appears under its name when it is
      complete and on the disk, with a checksum inside.
    - An old checkpoint is removed only after that.
    - A checkpoint also has the position in the epoch, the buffers of the other
      ranks, and accumulated gradients.
    - With ``by_epoch=False`` it can be in the middle of an epoch; the last
      one is written after the hooks of the last epoch have run.

    Put it into ``default_hooks`` under ``checkpoint``.

    Args:
        max_keep_ckpts (int): Number of checkpoints to keep; -1: all. With 1
            there is none to fall back to if it is damaged. Defaults to 2.
        **kwargs: As for MMEngine's ``CheckpointHook``.
    """

    def __init__(self, max_keep_ckpts: int = 2, **kwargs: Any) -> None:
        if kwargs.get('backend_args') is None:
            kwargs['backend_args'] = dict(backend='atomic')
        # Old ones are removed here, not by MMEngine before it writes.
        super().__init__(max_keep_ckpts=-1, **kwargs)
        self.num_kept = max_keep_ckpts
        self.saved_at: Optional[Tuple[int, int]] = None
        self._states: List[Dict] = []
        self._resumed: Dict[str, Any] = {}

    # Writing ---------------------------------------------------------------

    def after_train_epoch(self, runner: Any) -> None:
        """Save after an epoch; after the last one in any case."""
        super().after_train_epoch(runner)
        if (not self.by_epoch and self.save_last
                and isinstance(runner.train_loop, EpochBasedTrainLoop)
                and self.is_last_train_epoch(runner)):
            # The one after the last iteration lacks what hooks do after an
            # epoch, such as averaging buffers.
            self._save_checkpoint_with_step(
                runner, runner.iter,
                dict(epoch=runner.epoch + 1, iter=runner.iter))

    def save_now(self, runner: Any, epoch: int, iteration: int) -> None:
        """Save where no checkpoint is due, unless there is one already.

        Args:
            runner (Runner): The runner of the training process.
            epoch (int): Number of epochs that are done.
            iteration (int): Number of iterations that are done.
        """
        if self.saved_at == (epoch, iteration):
            return
        with self._counting_iterations():
            self._save_checkpoint_with_step(runner, iteration,
                                            dict(epoch=epoch, iter=iteration))

    def after_train(self, runner: Any) -> None:
        """Save also where a hook has ended the training before its end."""
        if runner.train_loop.stop_training:
            self.save_now(runner, runner.epoch, runner.iter)
        super().after_train(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Add what MMEngine leaves out; leave plain types of the metainfo."""
        checkpoint['ranks'] = self._states
        meta, loop = checkpoint['meta'], runner.train_loop
        for part in (meta, checkpoint['message_hub']['runtime_info']):
            if 'dataset_meta' in part:
                part['dataset_meta'] = plain(part['dataset_meta'])
        if isinstance(loop, EpochBasedTrainLoop):
            length = len(loop.dataloader)
            meta['epoch_length'] = length
            meta['batches'] = meta['iter'] - loop_start(loop, length) if (
                meta['epoch'] == loop.epoch) else 0

    def _save_checkpoint_with_step(self, runner: Any, step: int,
                                   meta: Dict) -> None:
        _settle(runner)
        # MMEngine's own event is for the first rank alone.
        runner.call_hook('before_checkpoint')
        self._states = collect_rank_states(runner)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._states = []
        self.saved_at = meta['epoch'], meta['iter']
        if is_main_process() and self.num_kept > 0:
            remove_old_checkpoints(str(self.last_ckpt), self.num_kept)

    def _save_best_checkpoint(self, runner: Any, metrics: Dict) -> None:
        """Remove the old best one only when the new one is complete."""
        if not self.save_best:
            return
        _settle(runner)
        if 'auto' in self.key_indicators:
            # The first is that of the ledger: the first number.
            metrics = {
                key: value
                for key, value in metrics.items()
                if number_of(value) is not None
            }
            if not metrics:
                return
            if self.rules == [None]:
                self.rules = [rule_of(next(iter(metrics)))]
        single = len(self.key_indicators) == 1
        old = dict(only=self.best_ckpt_path) if single else dict(
            self.best_ckpt_path_dict)
        if single:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict = dict.fromkeys(old)
        super()._save_best_checkpoint(runner, metrics)
        for key, path in old.items():
            now = (
                self.best_ckpt_path
                if single else self.best_ckpt_path_dict.get(key))
            if now is None and single:
                self.best_ckpt_path = path
            elif now is None:
                self.best_ckpt_path_dict[key] = path
            elif path and path != now and is_main_process() and osp.dirname(
                    path) == str(self.out_dir):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)

    @contextlib.contextmanager
    def _counting_iterations(self) -> Iterator[None]:
        kept = self.by_epoch, self.filename_tmpl
        self.by_epoch, self.filename_tmpl = False, 'iter_{}.pth'
        try:
            yield
        finally:
            self.by_epoch, self.filename_tmpl = kept

    # Resuming --------------------------------------------------------------

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Keep what MMEngine does not restore."""
        meta = checkpoint.get('meta')
        if runner._resume and isinstance(meta, dict):
            self._resumed = dict(meta=meta, ranks=checkpoint.get('ranks'))

    def before_train(self, runner: Any) -> None:
        """Restore the position and the state of this rank."""
        super().before_train(runner)
        resumed, self._resumed = self._resumed, {}
        if not resumed:
            return
        meta = resumed['meta']
        self.saved_at = meta['epoch'], meta['iter']
        loop = runner.train_loop
        if hasattr(loop, 'start_at'):
            length = len(loop.dataloader)
            # MMEngine's own checkpoints do not have it.
            batches = meta['iter'] - meta['epoch'] * length
            loop.start_at(
                meta.get('batches', batches if 0 < batches <= length else 0),
                meta.get('epoch_length'))
        restore_rank_state(runner, resumed['ranks'] or [])


def _settle(runner: Any) -> None:
    """Check all steps up to now, on all ranks, before anything is saved."""
    for hook in runner.hooks:
        if isinstance(hook, FiniteLossHook):
            hook.settle(runner)


def loop_start(loop: EpochBasedTrainLoop, length: int) -> int:
    """The iteration with which the epoch of a loop has begun.

    Args:
        loop (EpochBasedTrainLoop): The loop.
        length (int): Number of batches in an epoch.
    """
    return getattr(loop, 'epoch_start', loop.epoch * length)
