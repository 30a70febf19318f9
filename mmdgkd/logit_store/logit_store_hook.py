# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped
from .logit_store import LogitStore


@HOOKS.register_module()
class LogitStoreHook(Hook):
    """Lets the teachers of a stage be remembered, see :class:`LogitStore`.

    Args:
        **kwargs: As for :class:`LogitStore`.

    Raises:
        ConfigError: Likewise.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.store = LogitStore(**kwargs)

    def before_train(self, runner: Any) -> None:
        """Hand the store to the algorithm."""
        model = runner.model
        model = unwrapped(model)
        if not hasattr(model, 'use_store'):
            raise ConfigError(
                'custom_hooks: LogitStoreHook is for an algorithm with '
                f'teachers, such as mmrazor.DGKD, not {type(model).__name__}')
        model.use_store(self.store)

    def before_save_checkpoint(self, runner: Any, checkpoint: Any) -> None:
        """Write what waits to be written."""
        self.store.flush()

    def after_train(self, runner: Any) -> None:
        """Say what it was good for, and let go of the files."""
        self.store.close()
        for name, count in self.store.counts.items():
            total = sum(count.values())
            if total:
                runner.logger.info(
                    f'{name} was asked {total:,} times; {count["recalled"]:,} '
                    f'answers ({count["recalled"] / total:.0%}) came from '
                    f'{self.store.path}')
