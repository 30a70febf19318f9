# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmrazor.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class JointOptimWrapperDict(OptimWrapperDict):
    """Several optimizers, all of them stepped after one backward.

    MMEngine's own leaves the backward to an algorithm with a ``train_step``
    of its own, which its DDP does not call. Where one sum of losses is for all
    parameters, each of which belongs to one optimizer, there is nothing to
    decide, and the ``train_step`` of any model will do, with DDP, gradient
    accumulation and mixed precision.

    When to step, and how the loss is scaled, is for the first of them to say.

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
        """Backward, and a step of each if it is time.

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
        """The gradients of all parameters."""
        self._first.backward(loss, **kwargs)

    def should_update(self) -> bool:
        """Whether the gradients are complete."""
        return self._first.should_update()

    def step(self, **kwargs: Any) -> None:
        """Step each; the first one last, which then sets a new scale."""
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
    """A scaler of gradients that another optimizer's step updates.

    Args:
        scaler (GradScaler): That of the other.
    """

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scaler, name)

    def update(self, *_: Any) -> None:
        """Not yet: its other optimizers step with the same scale."""
