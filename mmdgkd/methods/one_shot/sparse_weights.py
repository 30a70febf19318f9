# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weights of which most are 0 as the others and their places."""
from typing import Dict, Iterable, Mapping

import numpy as np
import torch

# Keys beside the values of a weight: its shape, and their places, either a bit
# for each weight or compressed sparse rows (CSR).
_VALUES, _SHAPE, _BITS = '.values', '.shape', '.bits'
_ROWS, _COLUMNS = '.rows', '.columns'


def sparse_weights(state: Mapping[str, torch.Tensor],
                   names: Iterable[str]) -> Dict[str, torch.Tensor]:
    """A state dict in which some tensors are stored sparse.

    Each is in the smaller of two forms. ``<name>.bits``, uint8, has a bit for
    each entry that is not 0; a row of CSR is an output channel, and has
    ``<name>.rows``, int32, where each row begins, and ``<name>.columns``, the
    columns of its entries, int16 or int32.

    Args:
        state (Mapping[str, torch.Tensor]): The state dict, on the CPU.
        names (Iterable[str]): The names of the sparse ones.

    Returns:
        dict[str, torch.Tensor]: The others as they are, and for each of these
        ``<name>.values``, ``<name>.shape`` and its places.
    """
    tensors = dict(state)
    for name in names:
        weight = tensors.pop(name)
        flat = weight.detach().reshape(len(weight), -1)
        is_kept = flat != 0
        row, column = is_kept.nonzero(as_tuple=True)
        narrow = torch.int16 if flat.shape[1] < 2**15 else torch.int32
        csr = {
            _ROWS: torch.searchsorted(row, torch.arange(len(flat) + 1)).int(),
            _COLUMNS: column.to(narrow)
        }
        bits = {_BITS: torch.from_numpy(np.packbits(is_kept.numpy()))}
        tensors[name + _VALUES] = flat[is_kept].clone()
        tensors[name + _SHAPE] = torch.tensor(weight.shape)
        for key, data in min(bits, csr, key=size_of).items():
            tensors[name + key] = data
    return tensors


def dense_weights(
        tensors: Mapping[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """The state dict of which :func:`sparse_weights` made these.

    Args:
        tensors (Mapping[str, torch.Tensor]): As read from the file.

    Returns:
        dict[str, torch.Tensor]: With equal numbers.
    """
    state = dict(tensors)
    for key in [key for key in tensors if key.endswith(_VALUES)]:
        name = key.removesuffix(_VALUES)
        values, shape = state.pop(key), state.pop(name + _SHAPE).tolist()
        weight = torch.zeros(shape, dtype=values.dtype)
        flat = weight.view(shape[0], -1)
        if name + _BITS in state:
            bits = np.unpackbits(
                state.pop(name + _BITS).numpy(), count=flat.numel())
            flat[torch.from_numpy(bits).bool().view_as(flat)] = values
        else:
            rows = state.pop(name + _ROWS).long()
            row = torch.arange(len(flat)).repeat_interleave(rows.diff())
            flat[row, state.pop(name + _COLUMNS).long()] = values
        state[name] = weight
    return state


def size_of(tensors: Mapping[str, torch.Tensor]) -> int:
    """The bytes of tensors.

    Args:
        tensors (Mapping[str, torch.Tensor]): By any name.
    """
    return sum(data.numel() * data.element_size() for data in tensors.values())
