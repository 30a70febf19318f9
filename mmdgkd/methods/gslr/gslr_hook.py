# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.utils.networks import unwrapped


def soft_share(progress: float, begin: float, end: float, to: float) -> float:
    """The share of the soft loss that is left.

    Args:
        progress (float): Epochs or iterations so far.
        begin (float): When it begins to shrink, likewise.
        end (float): When it ends to shrink, likewise.
        to (float): The share at the end.

    Returns:
        float: 1 until ``begin``, ``to`` from ``end`` on, linear between.
    """
    gone = (progress - begin) / (end - begin)
    return 1 - (1 - to) * min(1., max(0., gone))


@HOOKS.register_module()
class GSLRHook(Hook):
    """Gradual soft loss reducing (GSLR): from teachers to labels.

    Shin, Boo and Sung, "Knowledge Distillation for Optimization of Quantized
    Deep Neural Networks" (arXiv 1909.01688), shrink the weight of the soft
    loss over a training until the hard loss alone remains. The paper's
    schedule could not be found; a linear one is our choice.

    With a share f of the soft loss left, all losses of the distiller are
    multiplied by f, and the weight w of the task loss becomes f w + (1 - f):
    from (1-λ) and λ to 1 and 0. The share is a function of the iteration
    alone, so that it is the same in a resumed training. It has no effect on a
    stage without teachers.

    Args:
        begin (float): When it begins, in epochs, or in iterations of an
            iteration-based training. Defaults to 0.
        end (float, optional): When ``to`` is reached, likewise. Defaults to
            None: the end of the training.
        to (float): The share at the end, from 0 to 1. At 0 teachers are not
            run any more, unless a connector has parameters. Defaults to 0.

    Raises:
        ConfigError: If a value is out of its range.
    """

    def __init__(self,
                 begin: float = 0,
                 end: Optional[float] = None,
                 to: float = 0.) -> None:
        here = 'custom_hooks.GSLRHook'
        if begin < 0:
            raise ConfigError(f'{here}.begin: {begin!r} should be 0 or more')
        if end is not None and end <= begin:
            raise ConfigError(f'{here}.end: {end!r} should be after begin, '
                              f'{begin!r}')
        if not 0 <= to <= 1:
            raise ConfigError(f'{here}.to: {to!r} should be from 0 to 1')
        self.begin, self.end, self.to = begin, end, to
        self._epoch = 1
        self._last = 0.

    def before_train(self, runner: Any) -> None:
        """Read the length of the training.

        Raises:
            ConfigError: If it ends before ``begin``.
        """
        loop = runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        self._epoch = len(loop.dataloader) if by_epoch else 1
        self._last = self.end
        if self.end is None:
            self._last = runner.max_epochs if by_epoch else runner.max_iters
        if self._last <= self.begin:
            raise ConfigError(f'custom_hooks.GSLRHook.begin: {self.begin!r} '
                              'should be before the end of the training, '
                              f'{self._last}')

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Set the share of this iteration."""
        model = unwrapped(runner.model)
        if isinstance(model, DGKD):
            model.soft_share = soft_share(runner.iter / self._epoch,
                                          self.begin, self._last, self.to)
            runner.message_hub.update_scalar('train/soft_share',
                                             model.soft_share)
