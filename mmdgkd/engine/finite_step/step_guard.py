# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import get_world_size
from torch import nn
from torch.optim import Optimizer

from mmdgkd.utils.device import DeviceFlag
from .kept_tensors import KeptTensors


class Step:
    """An optimizer step, and whether it is bad.

    Args:
        flag (torch.Tensor): Not 0 if the step is bad, a scalar on the device.
        is_known (bool): Whether reading the flag waits for nothing.
        forwards (list[dict]): The forwards of this step: ``iter`` and
            ``epoch``, and if they were seen ``inputs``, ``data_samples``,
            ``terms``, ``rng_state`` and ``device_rng_state``.
    """

    def __init__(self, flag: torch.Tensor, is_known: bool,
                 forwards: List[Dict[str, Any]]) -> None:
        self.is_known = is_known
        self.forwards = forwards
        self._flag = DeviceFlag(flag)

    def is_bad(self) -> bool:
        """Whether the step is bad; the same on all ranks."""
        return self._flag.read()


class StepGuard:
    """Undoes an optimizer step if its losses or gradients are not finite.

    It uses PyTorch's hooks on the model's forward and on each optimizer's
    step. On the CPU a bad step finds no gradients, so it changes nothing. On
    an accelerator a fused optimizer (``fused=True``) reads the flag as its
    ``found_inf``, which gradient scalers set, too; another one takes the step,
    and then the device chooses between the new values and a copy of the old
    ones, which stays in memory. The host waits for neither, and launches no
    kernel for each tensor; only counters that an optimizer keeps on the CPU,
    such as Adam's, go on.

    Args:
        model (nn.Module): The model, without its wrapper.
        optimizers (Sequence[Optimizer]): Its optimizers.
        max_skips (int): After more bad steps in a row than this all further
            ones count as bad, so that the host, which reads the flags later,
            finds the weights of before.
        joint (bool): Whether one backward is for all optimizers, so that the
            first step checks the gradients of all. Otherwise each checks its
            own. Defaults to False.
    """

    def __init__(self,
                 model: nn.Module,
                 optimizers: Sequence[Optimizer],
                 max_skips: int,
                 joint: bool = False) -> None:
        self._joint = list(optimizers) if joint else []
        self._max_skips = max_skips
        self.device = next(model.parameters()).device
        self.on_host = self.device.type == 'cpu'
        self._model = model
        self._buffers: Dict[str, torch.Tensor] = {}
        self._kept_buffers = KeptTensors()
        self._losses: List[torch.Tensor] = []
        self._forwards: List[Dict[str, Any]] = []
        self._now: Dict[str, int] = {}
        self._row = torch.zeros((), device=self.device)
        self._flag: Optional[torch.Tensor] = None
        self._kept = {id(optimizer): KeptTensors() for optimizer in optimizers}
        self._fresh: List[nn.Parameter] = []
        self._scaled: Optional[torch.Tensor] = None
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
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._forwards = []
        self._kept.clear()
        self._kept_buffers = KeptTensors()

    @torch.no_grad()
    def begin(self, iteration: int = 0, epoch: int = 0) -> None:
        """Begin an iteration, the first or a further one of a step.

        Args:
            iteration (int): Its number, from 0, for reports. Defaults to 0.
            epoch (int): Likewise. Defaults to 0.
        """
        self._now = dict(iter=iteration, epoch=epoch)
        if not self._is_open:
            # Later than its making: other hooks may replace some.
            self._buffers = self._buffers or dict(self._model.named_buffers())
            self._kept_buffers.keep(self._buffers)
            self._is_open = True

    def end(self, ended: bool) -> Optional[Step]:
        """End an iteration.

        Args:
            ended (bool): Whether its gradients were to be applied now, even if
                a gradient scaler has skipped that.

        Returns:
            Step, optional: None if the gradients wait for further iterations.
        """
        if self._flag is None and not ended:
            return None
        if self._flag is None:
            self._check([])
        flag, self._flag = self._flag, None
        self._row = (self._row + flag) * flag
        self._is_open = False
        if not self.on_host or flag:
            self._kept_buffers.restore_if(flag, self._buffers)
        forwards, self._forwards = self._forwards or [self._now], []
        return Step(flag, self.on_host, forwards)

    def _before_forward(self, module: nn.Module, args: Tuple,
                        kwargs: Dict) -> None:
        if module.training and kwargs.get('mode') == 'loss':
            # Dropout and the like draw from here on.
            forward = dict(self._now, rng_state=torch.get_rng_state())
            if self.device.type == 'cuda':
                forward['device_rng_state'] = torch.cuda.get_rng_state(
                    self.device)
            self._forwards.append(forward)

    def _after_forward(self, module: nn.Module, args: Tuple, kwargs: Dict,
                       output: Any) -> None:
        if not (module.training and kwargs.get('mode') == 'loss'
                and isinstance(output, dict)):
            return
        terms = {}
        for name, value in output.items():
            if isinstance(value, (list, tuple)):
                terms[name] = torch.stack([x.detach().mean() for x in value])
            elif isinstance(value, torch.Tensor):
                terms[name] = value.detach()
        given = dict(zip(('inputs', 'data_samples'), args)) | kwargs
        self._forwards[-1].update(given, terms=terms)
        self._losses += [
            value.float().sum() for name, value in terms.items()
            if 'loss' in name
        ]

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        grads = [
            parameter.grad for one in self._joint or [optimizer]
            for group in one.param_groups for parameter in group['params']
            if parameter.grad is not None and not parameter.grad.is_sparse
        ]
        # A gradient scaler checks them itself, before or in the step.
        scaled = getattr(optimizer, 'found_inf', None)
        self._check(grads if scaled is None else [])
        if self.on_host:
            if self._flag:
                for group in optimizer.param_groups:
                    for parameter in group['params']:
                        parameter.grad = None
            return
        if _obeys_flag(optimizer):
            self._scaled = scaled
            self._fresh = [
                parameter for group in optimizer.param_groups
                for parameter in group['params'] if parameter.grad is not None
                and parameter not in optimizer.state
            ]
            optimizer.found_inf = self._flag if scaled is None else \
                torch.maximum(scaled.reshape(()), self._flag)
        else:
            self._kept[id(optimizer)].keep(_values_of(optimizer, self.device))

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self.on_host or self._flag is None:
            return
        if _obeys_flag(optimizer):
            bad = optimizer.found_inf
            optimizer.found_inf = self._scaled
            created = [
                value for parameter in self._fresh
                for _, value in _state_of(optimizer, parameter, self.device)
            ]
        else:
            bad, kept = self._flag, self._kept[id(optimizer)]
            now = _values_of(optimizer, self.device)
            kept.restore_if(bad, now)
            created = [now[name] for name in now.keys() - kept.names]
        # What this step has created begins from zero again.
        for value in created:
            value.masked_fill_(bad.bool(), 0)

    def _check(self, grads: List[torch.Tensor]) -> None:
        """Set the flag if anything is not finite on any rank."""
        parts, self._losses = self._losses, []
        if grads:
            # Maxima: unlike sums of squares finite wherever gradients are.
            parts += torch._foreach_norm(grads, math.inf)
        parts = [part.float().to(self.device) for part in parts]
        bad = torch.zeros((), device=self.device)
        if parts:
            bad = (~torch.isfinite(torch.stack(parts))).any().float()
        if get_world_size() > 1:
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        bad = torch.maximum(bad, (self._row > self._max_skips).float())
        self._flag = bad if self._flag is None else torch.maximum(
            self._flag, bad)


def _obeys_flag(optimizer: Optimizer) -> bool:
    """Whether its step does nothing if its ``found_inf`` is not 0.

    PyTorch's gradient scaler decides by the same attribute.
    """
    return getattr(optimizer, '_step_supports_amp_scaling', False)


def _values_of(optimizer: Optimizer,
               device: torch.device) -> Dict[Tuple, torch.Tensor]:
    """What a step changes on the device: weights and optimizer state."""
    found: Dict[Tuple, torch.Tensor] = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.grad is None:
                continue
            found[id(parameter), ''] = parameter
            for name, value in _state_of(optimizer, parameter, device):
                found[id(parameter), name] = value
    return found


def _state_of(optimizer: Optimizer, parameter: nn.Parameter,
              device: torch.device) -> List[Tuple[str, torch.Tensor]]:
    return [(name, value)
            for name, value in optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor) and value.device == device]
