# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.dist import barrier, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped
from .logit_store import LogitStore


@HOOKS.register_module()
class LogitStoreHook(Hook):
    """Caches the logits of a stage's teachers, see :class:`LogitStore`.

    Args:
        **kwargs: As for :class:`LogitStore`.

    Raises:
        ConfigError: Likewise.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.store = LogitStore(**kwargs)
        self._pass = 0

    def before_train(self, runner: Any) -> None:
        """Hand the store to the algorithm."""
        model = unwrapped(runner.model)
        if not hasattr(model, 'use_store'):
            raise ConfigError(
                'custom_hooks: LogitStoreHook is for an algorithm with '
                f'teachers, such as mmrazor.DGKD, not {type(model).__name__}')
        model.use_store(self.store)
        self._pass = 0
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            loader = runner.train_dataloader
            batch = (loader.batch_size or 1) * get_world_size()
            self._pass = max(1, len(loader.dataset) // batch)

    def before_checkpoint(self, runner: Any) -> None:
        """Write the rows that wait to be written, on all ranks."""
        self.store.flush()

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any,
                         **__: Any) -> None:
        """Write the rows of a pass over the data, where no epoch ends."""
        if self._pass and (runner.iter + 1) % self._pass == 0:
            self.after_train_epoch(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Write the rows of the epoch, so that all processes read them."""
        self.store.flush()
        barrier()

    def after_train(self, runner: Any) -> None:
        """Log lookups and hits, and close the files."""
        self.store.close()
        for name, count in self.store.counts.items():
            total = sum(count.values())
            if total:
                hits = count['recalled']
                runner.logger.info(
                    f'logit store: {name}: {total:,} lookups, {hits:,} hits '
                    f'({100 * hits / total:.0f} %) in {self.store.path}')
