# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import defaultdict
from typing import Dict, Hashable, List, Mapping, Tuple

import torch

# By the bytes of a number. All its bits, those of NaN too, are chosen by
# arithmetic of integers, which wraps around.
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class KeptTensors:
    """Copies of tensors, and the choice of a device between both.

    By PyTorch's functions on lists of tensors: few kernels however many
    tensors, and the host waits for none.
    """

    def __init__(self) -> None:
        self._layout: Dict[Hashable, Tuple] = {}
        self._names: List[List[Hashable]] = []
        self._words: List[List[torch.Tensor]] = []
        self._copies: List[List[torch.Tensor]] = []

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
            groups = defaultdict(list)
            for name, tensor in tensors.items():
                word = _as_word(tensor)
                groups[word.dtype].append((name, word))
            self._names = [[name for name, _ in group]
                           for group in groups.values()]
            self._words = [[word for _, word in group]
                           for group in groups.values()]
            self._copies = [[torch.empty_like(word) for word in words]
                            for words in self._words]
        for copies, words in zip(self._copies, self._words):
            torch._foreach_copy_(copies, words)

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
        if _layout_of(tensors) == self._layout:
            pairs = list(zip(self._words, self._copies))
        else:
            pairs = [([_as_word(tensors[name])], [copy])
                     for names, copies in zip(self._names, self._copies)
                     for name, copy in zip(names, copies)
                     if name in tensors and tensors[name].shape == copy.shape]
        for words, copies in pairs:
            torch._foreach_sub_(copies, words)
            torch._foreach_mul_(copies, chosen.bool().to(words[0].dtype))
            torch._foreach_add_(words, copies)


def _layout_of(tensors: Mapping[Hashable, torch.Tensor]) -> Dict:
    return {
        name: (tensor.data_ptr(), tensor.shape)
        for name, tensor in tensors.items()
    }


def _as_word(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers."""
    return tensor.detach().view(_WORDS[tensor.element_size()])
