# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import Counter, defaultdict
from typing import Dict, Hashable, List, Mapping, NamedTuple, Tuple

import torch

# By the bytes of a number. All its bits, those of NaN too, are chosen by
# arithmetic of integers, which wraps around.
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class _Group(NamedTuple):
    """Tensors of one type, whose memory is their own."""

    names: List[Hashable]
    words: List[torch.Tensor]
    copies: List[torch.Tensor]


class KeptTensors:
    """Copies of tensors, and the choice of a device between both.

    By PyTorch's functions on lists of tensors: few kernels however many
    tensors, and the host waits for none. The copies stay in memory. Sparse
    tensors are not kept.
    """

    def __init__(self) -> None:
        self._layout: Dict[Hashable, Tuple] = {}
        self._groups: List[_Group] = []
        # Those that share their memory, or of 16 bytes a number.
        self._others: Dict[Hashable, torch.Tensor] = {}

    @property
    def names(self) -> Mapping[Hashable, Tuple]:
        """The names of the tensors that are kept."""
        return self._layout

    @torch.no_grad()
    def keep(self, tensors: Mapping[Hashable, torch.Tensor]) -> None:
        """Copy tensors.

        Args:
            tensors (Mapping[Hashable, torch.Tensor]): By name.
        """
        layout = _layout_of(tensors)
        if layout != self._layout:
            self._layout = layout
            self._group({name: tensors[name] for name in layout})
        for group in self._groups:
            torch._foreach_copy_(group.copies, group.words)
        for name, copy in self._others.items():
            copy.copy_(tensors[name])

    @torch.no_grad()
    def restore_if(self, chosen: torch.Tensor,
                   tensors: Mapping[Hashable, torch.Tensor]) -> None:
        """Set tensors to their copies, if so chosen; the copies are used up.

        Args:
            chosen (torch.Tensor): Whether, a scalar on the device.
            tensors (Mapping[Hashable, torch.Tensor]): By name, as they are
                now. One that is now of another shape, such as the range of a
                quantizer after its first batch, stays.
        """
        chosen, others = chosen.bool(), list(self._others.items())
        is_same = _layout_of(tensors) == self._layout
        for group in self._groups:
            if is_same:
                torch._foreach_sub_(group.copies, group.words)
                torch._foreach_mul_(group.copies,
                                    chosen.to(group.words[0].dtype))
                torch._foreach_add_(group.words, group.copies)
            else:
                others += zip(group.names, group.copies)
        for name, copy in others:
            now = tensors.get(name)
            if now is not None and _form_of(now) == self._layout[name][1:]:
                now = now.detach()
                now.copy_(torch.where(chosen, copy.view(now.dtype), now))

    def _group(self, tensors: Mapping[Hashable, torch.Tensor]) -> None:
        shared = Counter(map(_memory_of, tensors.values()))
        words: Dict[Tuple, Dict] = defaultdict(dict)
        self._others = {}
        for name, tensor in tensors.items():
            kind = _WORDS.get(tensor.element_size())
            if kind is None or shared[_memory_of(tensor)] > 1:
                self._others[name] = tensor.detach().clone()
                continue
            word = tensor.detach().view(kind)
            # Lists of equal strides are copied at once.
            is_dense = torch.empty_like(word).stride() == word.stride()
            words[kind, is_dense][name] = word
        self._groups = [
            _Group([*group], [*group.values()],
                   [torch.empty_like(word) for word in group.values()])
            for group in words.values()
        ]


def _layout_of(tensors: Mapping[Hashable, torch.Tensor]) -> Dict:
    return {
        name: (tensor.data_ptr(), *_form_of(tensor))
        for name, tensor in tensors.items() if tensor.layout == torch.strided
    }


def _form_of(tensor: torch.Tensor) -> Tuple:
    return tensor.shape, tensor.dtype


def _memory_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
