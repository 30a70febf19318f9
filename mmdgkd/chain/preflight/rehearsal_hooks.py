# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What runs and checks a stage in its rehearsal."""
import itertools
from typing import Any, Dict, List, Optional

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import IterBasedTrainLoop
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import Method
from mmdgkd.errors import ConfigError, TrainingStopped
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.utils.networks import hold_structure, unwrapped


class Saved(TrainingStopped):
    """A stage has written its last checkpoint; the rest is when it resumes."""


class ResumedRun(Hook):
    """Ends a stage at once, which was resumed at its end."""

    def before_train(self, runner: Any) -> None:
        """End the training."""
        runner.train_loop.stop_training = True


class FirstRun(Hook):
    """Ends a stage after the first epoch in which it has made its steps.

    Args:
        steps (int): The number of training steps.
    """

    priority = 'LOWEST'

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Check what is logged; end a training without epochs."""
        _check_own_loss(unwrapped(runner.model), outputs or {})
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            runner.train_loop.stop_training = runner.iter + 1 >= self.steps

    def after_train_epoch(self, runner: Any) -> None:
        """End the training, unless an epoch has fewer steps."""
        runner.train_loop.stop_training = runner.iter >= self.steps

    def after_train(self, runner: Any) -> None:
        """Stop as a signal would, after the hook that saves."""
        if not runner.iter:
            raise ConfigError('train_cfg: trains in no iteration; max_epochs, '
                              'or max_iters, must be 1 or more')
        raise Saved('saved')


class MonitorHook(Hook):
    """Checks what is monitored, before those that need it fail."""

    priority = 'HIGHEST'

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict] = None) -> None:
        """Check what is monitored, perhaps in a later epoch alone."""
        schedules: Any = runner.param_schedulers or []
        if isinstance(schedules, dict):
            schedules = itertools.chain.from_iterable(schedules.values())
        watchers = [('param_scheduler', part) for part in schedules]
        watchers += [('custom_hooks', hook) for hook in runner.hooks
                     if isinstance(hook, EarlyStoppingHook)]
        metrics = metrics or {}
        for key, part in watchers:
            monitor = getattr(part, 'monitor', None)
            if monitor is not None and monitor not in metrics:
                raise ConfigError(
                    f'{key}: {type(part).__name__}.monitor: {monitor!r} is '
                    'none of the metrics of the validation, which are '
                    f'{", ".join(metrics) or "none"}')


class PrunedRun(FirstRun):
    """Begins a stage with the channels that it will have at its end.

    A loss may fit those of the beginning alone.

    Args:
        steps (int): The number of training steps, without epochs.
        network (Network): The network of the stage.
        methods (list[Method]): The methods that prune it.
    """

    def __init__(self, steps: int, network: Network,
                 methods: List[Method]) -> None:
        super().__init__(steps)
        self._network = network
        self._methods = methods

    def before_train(self, runner: Any) -> None:
        """Prune the network, and leave it so."""
        for module in [*runner.model.modules()]:
            for method in self._methods:
                if isinstance(module, method.algorithms):
                    method.stand_ins(self._network, module)
        hold_structure(runner.model)


def _check_own_loss(model: nn.Module, logged: Dict) -> None:
    """Check that MMEngine sums up the own losses of a network with teachers.

    It logs those without "loss" in their names and trains nothing with them,
    without an error. (Without teachers nothing is trained, which is one.)
    """
    if (type(model).train_step is not BaseModel.train_step
            or not isinstance(model, DGKD)):
        return
    own = [key[len('student.'):] for key in logged if key[:8] == 'student.']
    weight = model.task_loss_weight * model.distiller.task_weight()
    if own and weight and not any('loss' in key for key in own):
        raise ConfigError(
            f'model.head: its losses ({", ".join(own)}) have no "loss" in '
            'their names, so that MMEngine would log them and train nothing '
            f'with them; "loss_{own[0]}" would be right')
