# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Callable, Dict, Iterable

import torch
from torch import nn


class FrozenTeachers:
    """Holds teachers where the training does not see them.

    It is no ``nn.Module``, so that the teachers are neither in
    ``state_dict`` nor in ``parameters``, and that no ``train()``, no weight
    initialization, no optimizer and no DDP reaches them.

    Args:
        teachers (dict[str, nn.Module]): The trained networks by name.
    """

    def __init__(self, teachers: Dict[str, nn.Module]) -> None:
        self.modules = teachers
        for teacher in teachers.values():
            teacher.requires_grad_(False).eval()

    def __deepcopy__(self, memo: Dict) -> 'FrozenTeachers':
        # A copy of the algorithm, such as EMAHook makes, shares them: nothing
        # ever changes in them.
        return self

    def apply_to_tensors(self, fn: Callable, *args: Any) -> None:
        """Pass ``nn.Module._apply`` on: ``to``, ``cuda``, ``half``, ..."""
        for teacher in self.modules.values():
            teacher._apply(fn, *args)

    @torch.no_grad()
    def run(self, names: Iterable[str], *inputs: Any) -> None:
        """Forward some of them; what is needed of it is in the recorders.

        Args:
            names (Iterable[str]): Those that speak in this step.
            *inputs (Any): Arguments of their forwards, the inputs first.
        """
        for name in names:
            teacher = self.modules[name]
            if teacher.training:  # somebody got hold of it
                teacher.eval()
            teacher(*inputs, mode='tensor')
