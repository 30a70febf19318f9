# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Callable, Dict, Tuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Living(TorchDispatchMode):
    """Records the peak size of living tensors over all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: Dict[int, Tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self,
                           func: Callable,
                           types: Any,
                           args: Tuple = (),
                           kwargs: Any = None) -> Any:
        given = _storages(args, kwargs)
        out = func(*args, **(kwargs or {}))
        self._alive = {
            key: (ref, size)
            for key, (ref, size) in self._alive.items() if not ref.expired()
        }
        for key, storage in _storages(out).items():
            # Views of earlier tensors take no memory.
            if key not in given and key not in self._alive:
                self._alive[key] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(s for _, s in self._alive.values()))
        return out


def _storages(*values: Any) -> Dict[int, torch.UntypedStorage]:
    return {
        leaf.untyped_storage()._cdata: leaf.untyped_storage()
        for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)
    }


def peak_bytes(function: Callable, *args: Any) -> int:
    """The peak memory of the tensors that a function makes.

    It counts new tensors that are alive at the same time, such as feature
    maps; not those from before (weights, images), nor the workspace of a
    kernel.

    Args:
        function (Callable): Such as a network or a :class:`RowStream`.
        *args (Any): Its arguments.

    Returns:
        int: The peak in bytes.
    """
    with torch.no_grad(), _Living() as living:
        function(*args)
    return living.peak
