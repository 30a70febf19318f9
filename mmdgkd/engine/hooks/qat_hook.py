# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List

from mmengine.dist import all_reduce_params
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.models.algorithms import MMArchitectureQuant
from mmrazor.models.fake_quants import (LearnableFakeQuantize,
                                        enable_param_learning,
                                        enable_static_estimate, enable_val)
from mmrazor.registry import HOOKS
from torch import nn
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import (disable_observer, enable_fake_quant,
                                   enable_observer)


@HOOKS.register_module()
class QATHook(Hook):
    """Quantization-aware training in any loop, of a network with guides too.

    What MMRazor's ``QATEpochBasedLoop`` and ``LSQEpochBasedLoop`` do around an
    epoch: observers and fake quantizers are switched for training and for
    validation, learned step sizes (arXiv 1902.08153) begin with those of the
    first batch, and what the graph in training has learned goes into those
    that predict. A chain adds it for each ``MMArchitectureQuant``.

    Args:
        disable_observer_begin (int): The epoch, counted from 1, from which
            the ranges of the quantizers stay. Defaults to -1: none.
        freeze_bn_begin (int): The epoch, counted from 1, from which the
            statistics of batch normalization stay. Defaults to -1: none.
    """

    # Before checkpoints are written.
    priority = 'HIGH'

    def __init__(self,
                 disable_observer_begin: int = -1,
                 freeze_bn_begin: int = -1) -> None:
        self.disable_observer_begin = disable_observer_begin
        self.freeze_bn_begin = freeze_bn_begin
        self._algorithms: List[MMArchitectureQuant] = []

    def before_train(self, runner: Any) -> None:
        """Find what is quantized."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        self._algorithms = [
            module for module in model.modules()
            if isinstance(module, MMArchitectureQuant)
        ]

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
        """Have learned step sizes begin with those of the first batch."""
        if runner.iter == 0:
            for algorithm in self._algorithms:
                algorithm.apply(enable_static_estimate)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Learn them from then on; all ranks from the same."""
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
        """Nothing half-learned goes into a file."""
        self._sync()

    def after_train_epoch(self, runner: Any) -> None:
        """Switch to predicting, as it is then saved."""
        self._settle()

    def before_val_epoch(self, runner: Any) -> None:
        """Switch to predicting."""
        self._settle()

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Switch back, where it is in the middle of an epoch."""
        if self._algorithms:
            self.before_train_epoch(runner)

    def _settle(self) -> None:
        for algorithm in self._algorithms:
            algorithm.apply(enable_fake_quant)
            algorithm.apply(disable_observer)
            algorithm.apply(enable_val)
        self._sync()

    def _sync(self) -> None:
        """Have all graphs predict as the one in training does.

        On a GPU each has its own copy of the buffers, of batch normalization
        too, which MMRazor does not sync.
        """
        for algorithm in self._algorithms:
            algorithm.sync_qparams('loss')
            trained = dict(algorithm.qmodels['loss'].named_buffers())
            for mode, graph in algorithm.qmodels.items():
                if mode != 'loss':
                    _copy(trained, graph)


def _copy(trained: dict, graph: nn.Module) -> None:
    for name, buffer in graph.named_buffers():
        if name in trained and trained[name] is not buffer:
            if trained[name].shape != buffer.shape:
                buffer.resize_(trained[name].shape)
            buffer.copy_(trained[name])
