# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmrazor.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class JointOptimWrapperDict(OptimWrapperDict):
    """Several optimizers that step together after one backward.

    MMEngine's own leaves the backward to the ``train_step`` of an algorithm,
    which its DDP does not call. Where one sum of losses is for all parameters
    and each parameter belongs to one optimizer, the ``train_step`` of any
    model does, with DDP, gradient accumulation and mixed precision.

    The first optimizer wrapper decides when to step and how the loss is
    scaled.

    Args:
        **parts (OptimWrapper): By name, of one type.
    """

    def __init__(self, **parts: OptimWrapper) -> None:
        super().__init__(**parts)
        self._first, *self._others = parts.values()
        for part in self._others:
            # Of AmpOptimWrapper: one backward has one scale.
            if hasattr(part, 'loss_scaler'):
                part.loss_scaler = _SharedScaler(self._first.loss_scaler)

    @property
    def scales(self) -> bool:
        """Whether the loss is scaled, as for float16."""
        return hasattr(self._first, 'loss_scaler')

    def update_params(self,
                      loss: torch.Tensor,
                      step_kwargs: Optional[Dict] = None,
                      zero_kwargs: Optional[Dict] = None) -> None:
        """Run the backward, and step each if the gradients are complete.

        Args:
            loss (torch.Tensor): The sum of all losses, a scalar.
            step_kwargs (dict, optional): For each step. Defaults to None.
            zero_kwargs (dict, optional): For each ``zero_grad``.
                Defaults to None.
        """
        self.backward(self._first.scale_loss(loss))
        if self.should_update():
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Compute the gradients of all parameters."""
        self._first.backward(loss, **kwargs)

    def should_update(self) -> bool:
        """Whether the gradients are complete."""
        return self._first.should_update()

    def step(self, **kwargs: Any) -> None:
        """Step each; the first one last, since it then updates the scale."""
        for part in (*self._others, self._first):
            part.step(**kwargs)

    def zero_grad(self, **kwargs: Any) -> None:
        """Set the gradients of all to zero."""
        for part in self.values():
            part.zero_grad(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """The context of a training forward."""
        with self._first.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, cur_iter: int,
                                max_iters: int) -> None:
        """Begin to count iterations, for gradient accumulation."""
        for part in self.values():
            part.initialize_count_status(model, cur_iter, max_iters)


class _SharedScaler:
    """A gradient scaler that only another optimizer's step updates.

    Args:
        scaler (GradScaler): The scaler of the other optimizer.
    """

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scaler, name)

    def update(self, *_: Any) -> None:
        """Do nothing: all optimizers step with the same scale."""
