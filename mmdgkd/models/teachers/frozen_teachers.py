# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Dict, Iterable, Optional

import torch
from mmcv.cnn import fuse_conv_bn
from torch import nn
from torch.ao.quantization import FakeQuantizeBase

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.fast_network import compile_network
from mmdgkd.utils.same_logits import has_levels
from .teacher_options import TeacherOptions


class FrozenTeachers:
    """Holds teachers where the training does not see them.

    It is no ``nn.Module``, so that the teachers are neither in
    ``state_dict`` nor in ``parameters``, and that no ``train()``, no weight
    initialization, no optimizer and no DDP reaches them.

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
        # Until the first batch has shown that the folded one is the same.
        self._unfolded: Dict[str, nn.Module] = {}
        for name, teacher in teachers.items():
            teacher.requires_grad_(False).eval()
            if self.options.fold_bn:
                self._unfolded[name] = teacher
                teacher = fuse_conv_bn(copy.deepcopy(teacher))
                teacher.requires_grad_(False).eval()
            if self.options.channels_last:
                teacher.to(memory_format=torch.channels_last)
            on_meta = any(param.is_meta for param in teacher.parameters())
            if self.options.compile and not on_meta:
                compile_network(teacher, f'model.teachers.{name}')
            self.modules[name] = teacher

    def __deepcopy__(self, memo: Dict) -> 'FrozenTeachers':
        # A copy of the algorithm, such as EMAHook makes, shares them: nothing
        # ever changes in them.
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
        """Forward some of them; what is needed of it is in the recorders.

        Args:
            names (Iterable[str]): Those that are active in this step.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            *others (Any): Further arguments of their forwards.
            timing (Callable, optional): Makes the context in which each runs,
                of its name and the device. Defaults to None.
            grad (bool): Whether gradients pass through them, to a generator
                of the inputs. Defaults to False.
        """
        with torch.set_grad_enabled(grad), self.options.autocast(
                inputs.device.type):
            for name in names:
                teacher = self.modules[name]
                if teacher.training:  # somebody got hold of it
                    teacher.eval()
                with timing(name, inputs.device) if timing else nullcontext():
                    teacher(inputs, *others, mode='tensor')

    @torch.no_grad()
    def check(self, names: Iterable[str], inputs: torch.Tensor) -> None:
        """See, before their first run, whether folding was right for them.

        Folding goes by the order of the modules, not by that of the calls.
        While this runs no recorder must listen.

        Args:
            names (Iterable[str]): Those that are about to run.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).

        Raises:
            ConfigError: If a teacher is another function with its batch
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
        folded = fuse_conv_bn(copy.deepcopy(unfolded)).eval()
        one = inputs[:1].cpu().to(dtype)
        with torch.autocast('cpu', enabled=False):
            found = folded(one, mode='tensor')
            wanted = unfolded(one, mode='tensor')
        if isinstance(found, (list, tuple)):
            found, wanted = found[-1], wanted[-1]
        off, allowed = (found - wanted).abs(), bound
        error = off.max()
        if has_levels(unfolded):
            # The last bit of a sum may decide between two levels, and a few
            # logits are off by more; another order moves all of them.
            off, allowed = off.median(), 5e-2
        if off.max() > allowed * wanted.abs().max() + 1e-9:
            raise ConfigError(
                'model.teacher_options.fold_bn: teacher '
                f'"{name}" gives other outputs when it is folded (by up to '
                f'{float(error):.3g}): its modules are not called in the order'
                ' in which they are listed; set fold_bn=False')
