# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import wraps
from types import SimpleNamespace
from typing import Any, Callable, Optional

from .repair import Repair


def _unpruned(method: Callable) -> Callable:
    """Have a schedule of pruning begin from all channels."""

    @wraps(method)
    def _init_prune_config_manager(self: Any) -> Any:
        manager = method(self)
        units = {unit.name: unit for unit in self.mutator.mutable_units}
        manager.supernet = {
            # A ratio, or a number of channels.
            name:
            1.0 if isinstance(choice, float) else units[name].num_channels
            for name, choice in manager.supernet.items()
        }
        return manager

    return _init_prune_config_manager


def _diagnose() -> Optional[str]:
    from mmrazor.models.algorithms import ItePruneAlgorithm
    mutator = SimpleNamespace(current_choices=dict(unit=.5), mutable_units=[])
    probe = SimpleNamespace(
        mutator=mutator,
        target_pruning_ratio=None,
        by_epoch=False,
        step_freq=1,
        prune_times=1,
        linear_schedule=True)
    manager = ItePruneAlgorithm._init_prune_config_manager(probe)
    if manager.supernet['unit'] == 1:
        return None
    return 'ItePruneAlgorithm takes the channels that are left for all'


def _fix() -> None:
    from mmrazor.models.algorithms import ItePruneAlgorithm
    ItePruneAlgorithm._init_prune_config_manager = _unpruned(
        ItePruneAlgorithm._init_prune_config_manager)


REPAIR = Repair(
    name='resumed pruning',
    cause='ItePruneAlgorithm makes its schedule in the first step that it '
    'sees, from the channels that are left then: resumed between two '
    'prunings, it would prune to other ratios than without a stop',
    diagnose=_diagnose,
    fix=_fix)
