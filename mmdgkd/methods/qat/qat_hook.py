# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List

import torch
from mmengine.dist import all_reduce_params
from mmengine.hooks import Hook
from mmrazor.models.algorithms import MMArchitectureQuant
from mmrazor.models.fake_quants import (LearnableFakeQuantize,
                                        enable_param_learning,
                                        enable_static_estimate, enable_val)
from mmrazor.registry import HOOKS
from torch import nn
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (disable_observer, enable_fake_quant,
                                   enable_observer)
from torch.nn.modules.batchnorm import _BatchNorm

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped


@HOOKS.register_module()
class QATHook(Hook):
    """Quantization-aware training in any loop, with teachers too.

    It does what MMRazor's ``QATEpochBasedLoop`` and ``LSQEpochBasedLoop`` do
    around an epoch: it switches observers and fake quantizers for training and
    validation, initializes learned step sizes (LSQ, arXiv 1902.08153) from the
    first batch, and copies the parameters of the training graph to those that
    predict. A chain adds it for each ``MMArchitectureQuant``.

    Args:
        disable_observer_begin (int): The epoch, counted from 1, from which
            the ranges of the quantizers stay; for epoch-based loops.
            Defaults to -1: none.
        freeze_bn_begin (int): The epoch, counted from 1, from which the
            statistics of batch normalization stay; likewise.
            Defaults to -1: none.

    Raises:
        ConfigError: If one of them is neither -1 nor 1 or more.
    """

    # Before checkpoints are written.
    priority = 'HIGH'

    def __init__(self,
                 disable_observer_begin: int = -1,
                 freeze_bn_begin: int = -1) -> None:
        for key, value in (('disable_observer_begin', disable_observer_begin),
                           ('freeze_bn_begin', freeze_bn_begin)):
            if type(value) is not int or value < -1 or value == 0:
                raise ConfigError(f'custom_hooks.QATHook.{key}: {value!r} '
                                  'should be -1, or an epoch, 1 or more')
        self.disable_observer_begin = disable_observer_begin
        self.freeze_bn_begin = freeze_bn_begin
        self._algorithms: List[MMArchitectureQuant] = []

    def before_train(self, runner: Any) -> None:
        """Find quantized networks, and copy statistics to their graphs."""
        self._algorithms = [
            module for module in unwrapped(runner.model).modules()
            if isinstance(module, MMArchitectureQuant)
        ]
        for algorithm in () if runner.iter else self._algorithms:
            _share_statistics(algorithm)

    def before_train_epoch(self, runner: Any) -> None:
        """Switch to training."""
        epoch = runner.epoch + 1
        for algorithm in self._algorithms:
            algorithm.apply(enable_fake_quant)
            if 0 < self.disable_observer_begin <= epoch:
                algorithm.apply(disable_observer)
            else:
                algorithm.apply(enable_observer)
            if 0 < self.freeze_bn_begin <= epoch:
                algorithm.apply(freeze_bn_stats)
            algorithm.apply(enable_param_learning)

    def before_train_iter(self, runner: Any, *args: Any,
                          **kwargs: Any) -> None:
        """Initialize learned step sizes from the first batch."""
        if runner.iter == 0:
            for algorithm in self._algorithms:
                algorithm.apply(enable_static_estimate)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Learn them from then on, from their mean over ranks."""
        if runner.iter == 0:
            for algorithm in self._algorithms:
                steps = [
                    parameter for module in algorithm.modules()
                    if isinstance(module, LearnableFakeQuantize)
                    for parameter in module.parameters()
                ]
                all_reduce_params(steps, op='mean')
                algorithm.apply(enable_param_learning)

    def before_save_checkpoint(self, runner: Any, checkpoint: Any) -> None:
        """Save the state for prediction: this may be the last checkpoint.

        The state dict is of the training, with observers on, and the network
        would change with its test images. Training switches them on again.
        """
        if not self._algorithms:
            return
        self._sync()
        state = checkpoint['state_dict']
        now = unwrapped(runner.model).state_dict()
        for name in state:
            if name.endswith('observer_enabled'):
                state[name] = torch.zeros_like(state[name])
            elif 'qmodels.' in name:
                state[name] = now[name].cpu()

    def after_train_epoch(self, runner: Any) -> None:
        """Switch to prediction, before it is saved."""
        self._switch_to_prediction()

    def before_val_epoch(self, runner: Any) -> None:
        """Switch to prediction."""
        self._switch_to_prediction()

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Switch back, for a validation in the middle of an epoch."""
        if self._algorithms:
            self.before_train_epoch(runner)

    def _switch_to_prediction(self) -> None:
        for algorithm in self._algorithms:
            algorithm.apply(enable_fake_quant)
            algorithm.apply(disable_observer)
            algorithm.apply(enable_val)
        self._sync()

    def _sync(self) -> None:
        """Copy quantization parameters and buffers to all graphs.

        On a GPU each has its own buffers, of batch normalization too, which
        MMRazor does not sync.
        """
        for algorithm in self._algorithms:
            algorithm.sync_qparams('loss')
            trained = dict(algorithm.qmodels['loss'].named_buffers())
            for mode, graph in algorithm.qmodels.items():
                if mode != 'loss':
                    _copy(trained, graph)


def _share_statistics(algorithm: MMArchitectureQuant) -> None:
    """Copy the batch statistics of the network to its graphs.

    On a GPU the graphs share its weights, but not its buffers.
    """
    found = {
        id(module.weight): module
        for module in algorithm.architecture.modules()
        if isinstance(module, _BatchNorm)
    }
    for module in algorithm.qmodels.modules():
        if isinstance(module, _BatchNorm) and id(module.weight) in found:
            own = found[id(module.weight)]
            for name in ('running_mean', 'running_var'):
                buffer = getattr(module, name)
                if buffer is not getattr(own, name):
                    buffer.copy_(getattr(own, name))


def _copy(trained: dict, graph: nn.Module) -> None:
    for name, buffer in graph.named_buffers():
        if name in trained and trained[name] is not buffer:
            if trained[name].shape != buffer.shape:
                buffer.resize_(trained[name].shape)
            buffer.copy_(trained[name])
