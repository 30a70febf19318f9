# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
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

    def before_train(self, runner: Any) -> None:
        """Hand the store to the algorithm."""
        model = unwrapped(runner.model)
        if not hasattr(model, 'use_store'):
            raise ConfigError(
                'custom_hooks: LogitStoreHook is for an algorithm with '
                f'teachers, such as mmrazor.DGKD, not {type(model).__name__}')
        model.use_store(self.store)

    def before_save_checkpoint(self, runner: Any, checkpoint: Any) -> None:
        """Write the rows that wait to be written."""
        self.store.flush()

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
