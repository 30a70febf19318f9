# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.utils.networks import unwrapped
from .target_group_fisher import TargetGroupFisher


@HOOKS.register_module()
class GroupFisherHook(Hook):
    """Group Fisher pruning in MMEngine's loops, with teachers too.

    Starts and ends the recording of each :class:`TargetGroupFisher` around a
    step, in which it prunes every ``interval`` iterations. A chain adds it.
    """

    # After the step is known to be good, before checkpoints are written.
    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._algorithms: List[TargetGroupFisher] = []
        self._outer: Any = None

    def before_train(self, runner: Any) -> None:
        """Find the pruned networks."""
        self._outer = unwrapped(runner.model)
        self._algorithms = [
            module for module in self._outer.modules()
            if isinstance(module, TargetGroupFisher)
        ]

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Record the step."""
        for algorithm in self._algorithms:
            algorithm.begin_step()

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Prune a channel, every ``interval`` iterations."""
        if isinstance(self._outer, DGKD):
            # Counting copies the network, and recorded data with it.
            self._outer.distiller.forget()
        for algorithm in self._algorithms:
            if algorithm.end_step(runner.iter) and algorithm.reached:
                runner.logger.info(
                    f'pruned to {algorithm.left:.3f} of the operations; '
                    'training goes on without pruning')

    def after_train(self, runner: Any) -> None:
        """Warn if the training was too short."""
        for algorithm in self._algorithms:
            if not algorithm.reached:
                runner.logger.log(
                    logging.WARNING,
                    f'model.interval: {algorithm.interval} iterations are too '
                    f'long: at the end of the training {algorithm.left:.3f} '
                    'of the operations is left, more than the target, '
                    f'{algorithm.target_flops_ratio}')
