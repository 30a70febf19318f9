# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import get_world_size
from torch import nn
from torch.optim import Optimizer

from .bad_step import BadStep


class StepGuard:
    """Lets an optimizer step count only if all that went into it is finite.

    It stands on hooks of PyTorch: one on the model's forward, which sees the
    losses, and two around each optimizer's step. On the CPU a bad step finds
    no gradients and so does nothing. On an accelerator the step is taken, and
    the device itself chooses between what was, of which it holds a copy
    meanwhile, and what came of it; only counters that an optimizer keeps on
    the CPU, such as Adam's, go on. Of several optimizers each has its own
    step: what another has done before is done; unless one backward is for all
    of them, whose gradients the first step then judges together.

    Args:
        model (nn.Module): The model, without its wrapper.
        optimizers (Sequence[Optimizer]): What updates it.
        max_skips (int): After so many bad steps in a row no further one
            counts, good or bad, so that the host finds what the first one
            found.
        joint (bool): Whether the optimizers step together, after a backward
            that is for all of them. Defaults to False.
    """

    def __init__(self,
                 model: nn.Module,
                 optimizers: Sequence[Optimizer],
                 max_skips: int,
                 joint: bool = False) -> None:
        self._model = model
        self._together = list(optimizers) if joint else []
        self._max_skips = max_skips
        self.device = next(model.parameters()).device
        self.on_host = self.device.type == 'cpu'
        self._buffers = [
            buffer for buffer in model.buffers()
            if buffer.device.type != 'meta'
        ]
        self._saved_buffers = [buffer.clone() for buffer in self._buffers]
        # The range of a quantizer has its size from the first batch that it
        # sees; where there is none, no step looks at sizes.
        self._may_grow = any(not buffer.numel() for buffer in self._buffers)
        self._flags: List[torch.Tensor] = []
        self._forwards: List[Dict[str, Any]] = []
        self._now = (0, 0)
        self._row = torch.zeros((), device=self.device)
        self._flag: Optional[torch.Tensor] = None
        self._before: List[Tuple[torch.Tensor, torch.Tensor]] = []
        self._is_open = False
        self._handles = [
            model.register_forward_pre_hook(
                self._before_forward, with_kwargs=True),
            model.register_forward_hook(self._after_forward, with_kwargs=True)
        ]
        for optimizer in optimizers:
            self._handles += [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step)
            ]

    def clean_up(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._forwards = []

    def begin(self, iteration: int = 0, epoch: int = 0) -> None:
        """Begin an iteration; of several for one step the first counts.

        Args:
            iteration (int): Its number, from 0, for reports.
                Defaults to 0.
            epoch (int): Likewise. Defaults to 0.
        """
        self._now = iteration, epoch
        if self._is_open or not self._buffers:
            return
        with torch.no_grad():
            if self._may_grow:
                for saved, buffer in zip(self._saved_buffers, self._buffers):
                    if saved.shape != buffer.shape:
                        saved.resize_(buffer.shape)
            torch._foreach_copy_(self._saved_buffers, self._buffers)
        self._is_open = True

    def end(self, ended: bool) -> Optional[BadStep]:
        """End an iteration.

        Args:
            ended (bool): Whether its gradients were to be applied now, also
                if a scaler of gradients did not.

        Returns:
            BadStep, optional: What there is to be judged; None if the
            gradients wait for those of further iterations.
        """
        if self._flag is None and not ended:
            return None
        if self._flag is None:
            self._judge([])
        flag, self._flag = self._flag, None
        self._row = (self._row + flag) * flag
        self._is_open = False
        self._choose(
            flag, ((buffer, saved)
                   for buffer, saved in zip(self._buffers, self._saved_buffers)
                   if buffer.shape == saved.shape))
        forwards = self._forwards or [
            dict(iteration=self._now[0], epoch=self._now[1])
        ]
        self._forwards = []
        return BadStep(flag, self.on_host, forwards)

    def _before_forward(self, module: nn.Module, args: Tuple,
                        kwargs: Dict) -> None:
        if module.training and kwargs.get('mode') == 'loss':
            # What Dropout and the like are going to draw from.
            forward = dict(rng_state=torch.get_rng_state())
            if self.device.type == 'cuda':
                forward['device_rng_state'] = torch.cuda.get_rng_state(
                    self.device)
            forward['iteration'], forward['epoch'] = self._now
            self._forwards.append(forward)

    def _after_forward(self, module: nn.Module, args: Tuple, kwargs: Dict,
                       output: Any) -> None:
        if not (module.training and kwargs.get('mode') == 'loss'
                and isinstance(output, dict)):
            return
        terms = {
            name:
            torch.stack([item.detach().mean()
                         for item in value]) if isinstance(
                             value, (list, tuple)) else value.detach()
            for name, value in output.items()
            if isinstance(value, (list, tuple, torch.Tensor))
        }
        self._forwards[-1].update(args=args, kwargs=kwargs, terms=terms)
        losses = [
            value.float().sum() for name, value in terms.items()
            if 'loss' in name
        ]
        if losses:
            self._flags.append(torch.stack(losses).sum())

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        grads = [
            parameter.grad for one in self._together or [optimizer]
            for group in one.param_groups for parameter in group['params']
            if parameter.grad is not None and not parameter.grad.is_sparse
        ]
        # A scaler of gradients looks at them itself, before or in the step.
        scaled = getattr(optimizer, 'found_inf', None) is not None
        self._judge([] if scaled else grads)
        if not self.on_host:
            self._before = [(tensor, tensor.detach().clone())
                            for tensor in _tensors_of(optimizer, self.device)]
        elif self._flag:
            for group in optimizer.param_groups:
                for parameter in group['params']:
                    parameter.grad = None

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self.on_host or self._flag is None:
            return
        self._choose(self._flag, self._before)
        known = {id(tensor) for tensor, _ in self._before}
        # What the very first step has made begins from nothing again.
        self._choose(self._flag,
                     ((tensor, torch.zeros_like(tensor))
                      for tensor in _tensors_of(optimizer, self.device)
                      if id(tensor) not in known))
        self._before = []

    def _judge(self, grads: List[torch.Tensor]) -> None:
        """Find out, on all ranks alike, whether the step is bad."""
        parts = [flag.to(self.device) for flag in self._flags]
        if grads:
            # Largest absolute values: unlike sums of squares they are finite
            # wherever the gradients are.
            parts += [
                norm.float().to(self.device)
                for norm in torch._foreach_norm(grads, math.inf)
            ]
        self._flags = []
        if parts:
            bad = (~torch.isfinite(torch.stack(parts))).any().float()
        else:
            bad = torch.zeros((), device=self.device)
        if get_world_size() > 1:
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        # After too many, whatever comes is as bad.
        bad = torch.maximum(bad, (self._row > self._max_skips).float())
        self._flag = bad if self._flag is None else torch.maximum(
            self._flag, bad)

    def _choose(self, bad: torch.Tensor, pairs: Any) -> None:
        """Give the first of each pair the value of the second if bad."""
        if self.on_host and not bad:
            return
        flag = bad.bool()
        for tensor, before in pairs:
            tensor.data.copy_(
                before if self.on_host else torch.
                where(flag, before, tensor.detach()))


def _tensors_of(optimizer: Optimizer,
                device: torch.device) -> List[torch.Tensor]:
    """What a step changes on the device: the weights and the state."""
    found = []
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.grad is None:
                continue
            found.append(parameter)
            found += [
                value for value in optimizer.state.get(parameter, {}).values()
                if isinstance(value, torch.Tensor) and value.device == device
            ]
    return found
