# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Dict, Iterable, Optional

import torch
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.folding import fold_batch_norms
from mmdgkd.models.utils.networks import compile_network
from mmdgkd.utils.same_logits import has_levels
from .teacher_options import TeacherOptions


class FrozenTeachers:
    """Holds teachers outside of the model that is trained.

    It is no ``nn.Module``: the teachers are neither in ``state_dict`` nor in
    ``parameters``, and ``train()``, weight initialization, optimizers and DDP
    do not reach them.

    Args:
        teachers (dict[str, nn.Module]): The trained networks by name.
        options (TeacherOptions, optional): How they are run.
            Defaults to None: as by default.

    Attributes:
        modules (dict[str, nn.Module]): The networks that run, by name; copies
            if batch normalization is folded.
    """

    def __init__(self,
                 teachers: Dict[str, nn.Module],
                 options: Optional[TeacherOptions] = None) -> None:
        self.options = options or TeacherOptions()
        self.modules: Dict[str, nn.Module] = {}
        # Until the first batch, on which folded and unfolded are compared.
        self._unfolded: Dict[str, nn.Module] = {}
        for name, teacher in teachers.items():
            teacher.requires_grad_(False).eval()
            if self.options.fold_bn:
                self._unfolded[name] = teacher
                teacher = fold_batch_norms(copy.deepcopy(teacher))
                teacher.requires_grad_(False).eval()
            if self.options.channels_last:
                teacher.to(memory_format=torch.channels_last)
            if self.options.compile:
                compile_network(teacher, f'model.teachers.{name}')
            self.modules[name] = teacher

    def __deepcopy__(self, memo: Dict) -> 'FrozenTeachers':
        # Copies of the algorithm, such as EMAHook's, share them: they do not
        # change.
        return self

    def apply_to_tensors(self, fn: Callable, *args: Any) -> None:
        """Pass ``nn.Module._apply`` on: ``to``, ``cuda``, ``half``, ..."""
        for teacher in (*self.modules.values(), *self._unfolded.values()):
            teacher._apply(fn, *args)

    def run(self,
            names: Iterable[str],
            inputs: torch.Tensor,
            *others: Any,
            timing: Optional[Callable[..., ContextManager]] = None,
            grad: bool = False) -> None:
        """Forward some teachers. Recorders keep their outputs.

        Args:
            names (Iterable[str]): The teachers to run.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            *others (Any): Further arguments of their forwards.
            timing (Callable, optional): Called with a name and the device; it
                returns the context in which that teacher runs.
                Defaults to None.
            grad (bool): Whether gradients pass through them to the inputs.
                Defaults to False.
        """
        with torch.set_grad_enabled(grad), self.options.autocast(
                inputs.device.type):
            for name in names:
                teacher = self.modules[name]
                if teacher.training:  # set by other code
                    teacher.eval()
                with timing(name, inputs.device) if timing else nullcontext():
                    teacher(inputs, *others, mode='tensor')

    @torch.no_grad()
    def check(self, names: Iterable[str], inputs: torch.Tensor) -> None:
        """Check, before their first run, that folding keeps their outputs.

        Folding follows the order of the modules, not that of the calls. To be
        called with recorders off.

        Args:
            names (Iterable[str]): The teachers that are about to run.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).

        Raises:
            ConfigError: If a teacher has other outputs with its batch
                normalization folded.
        """
        for name in names if self._unfolded else ():
            if name in self._unfolded:
                self._check_folded(name, inputs)

    def _check_folded(self, name: str, inputs: torch.Tensor) -> None:
        # On the CPU in float64, where two orders of the same sums agree: a
        # GPU computes float32 convolutions with 10 bits (TF32), and the error
        # of 100 layers is above any bound that a wrong order stays below.
        unfolded = copy.deepcopy(self._unfolded.pop(name)).cpu()
        dtype, bound = torch.float64, 1e-6
        if any(
                isinstance(part, FakeQuantizeBase)
                for part in unfolded.modules()):
            # PyTorch rounds to levels in float32 alone.
            dtype, bound = torch.float32, 1e-3
        unfolded.to(dtype)
        folded = fold_batch_norms(copy.deepcopy(unfolded)).eval()
        one = inputs[:1].cpu().to(dtype)
        with torch.autocast('cpu', enabled=False):
            found = folded(one, mode='tensor')
            wanted = unfolded(one, mode='tensor')
        if isinstance(found, (list, tuple)):
            found, wanted = found[-1], wanted[-1]
        off, allowed = (found - wanted).abs(), bound
        error = off.max()
        if has_levels(unfolded):
            # The last bit of a sum may change a level, and a few logits by
            # more; a wrong order changes all of them.
            off, allowed = off.median(), 5e-2
        if off.max() > allowed * wanted.abs().max() + 1e-9:
            raise ConfigError(
                'model.teacher_options.fold_bn: teacher '
                f'"{name}" gives other outputs when it is folded (by up to '
                f'{float(error):.3g}): its modules are not called in the order'
                ' in which they are listed; set fold_bn=False')
