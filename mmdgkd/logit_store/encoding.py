# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch

from mmdgkd.errors import ConfigError

DTYPES = {'float16': torch.float16, 'float32': torch.float32}
OTHERS = ('even', 'zero')
# A logit of no probability that float16 has; at no temperature in use is it
# one.
_ZERO = -6e4
_WORD = 8  # bytes; the length of a row is a multiple


@dataclass(frozen=True)
class RowForm:
    """The format of a row: the logits of one view of one sample.

    Either all logits, or the largest ``top_k``, their classes, and one number
    for all the others. At temperature 1 the others keep their probability
    together, in equal parts (as FKD, arXiv 2112.01528, smooths its labels), or
    they have none: then the largest have all of it.

    Args:
        classes (int): Length of the logits.
        dtype (str): ``'float16'`` or ``'float32'``.
        top_k (int, optional): Defaults to None: all of them.
        others (str): What the others have of the probability that is left
            out, ``'even'``, equal parts, or ``'zero'``, none. Defaults to
            ``'even'``.

    Raises:
        ConfigError: As :func:`check_form`.
    """

    classes: int
    dtype: str = 'float16'
    top_k: Optional[int] = None
    others: str = 'even'

    def __post_init__(self) -> None:
        check_form(self.dtype, self.top_k, self.others)

    @property
    def is_full(self) -> bool:
        """Whether all logits are kept."""
        return self.top_k is None or self.top_k >= self.classes

    @property
    def num_bytes(self) -> int:
        """Bytes of a row, a multiple of 8."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        used = self.classes * size
        if not self.is_full:
            used = (self.top_k + 1) * size + self.top_k * 4
        return -(-used // _WORD) * _WORD

    def rounded(self, logits: torch.Tensor) -> torch.Tensor:
        """Round logits as a row does, on their own device.

        Args:
            logits (torch.Tensor): Shape (N, C).

        Returns:
            torch.Tensor: float32 of shape (N, C).
        """
        return self._spread(*self._parts(logits))

    def encode(self, logits: torch.Tensor) -> np.ndarray:
        """Encode logits.

        Args:
            logits (torch.Tensor): Shape (N, C), on the CPU.

        Returns:
            np.ndarray: uint8 of shape (N, num_bytes).
        """
        values, classes = self._parts(logits)
        rows = np.zeros((len(logits), self.num_bytes), np.uint8)
        data = values.contiguous().numpy().view(np.uint8)
        rows[:, :data.shape[1]] = data
        if classes is not None:
            start, data = data.shape[1], classes.numpy().view(np.uint8)
            rows[:, start:start + data.shape[1]] = data
        return rows

    def decode(self, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Decode logits.

        Args:
            rows (np.ndarray): uint8 of shape (N, num_bytes).
            device (torch.device): Where the logits are needed.

        Returns:
            torch.Tensor: float32 of shape (N, C).
        """
        dtype = DTYPES[self.dtype]
        size = torch.finfo(dtype).bits // 8
        num = self.classes if self.is_full else self.top_k + 1
        used = torch.from_numpy(np.ascontiguousarray(rows[:, :num * size]))
        values = used.view(dtype).to(device, non_blocking=True)
        classes = None
        if not self.is_full:
            tail = rows[:, num * size:num * size + self.top_k * 4]
            classes = torch.from_numpy(np.ascontiguousarray(tail)).view(
                torch.int32).to(
                    device, non_blocking=True)
        return self._spread(values, classes)

    def _parts(self, logits: torch.Tensor) -> tuple:
        dtype = DTYPES[self.dtype]
        logits = logits.detach().float()
        if self.dtype == 'float16':
            # What is beyond its range would be decoded as infinity.
            top = torch.finfo(dtype).max
            logits = logits.clamp(-top, top)
        if self.is_full:
            return logits.to(dtype), None
        order = logits.argsort(dim=1, descending=True, stable=True)
        kept, others = order.split([self.top_k, self.classes - self.top_k], 1)
        if self.others == 'zero':
            rest = torch.full_like(logits[:, :1], _ZERO)
        else:
            rest = logits.gather(1, others).logsumexp(1, keepdim=True)
            rest = rest - float(np.log(self.classes - self.top_k))
        values = torch.cat([logits.gather(1, kept), rest], 1)
        return values.to(dtype), kept.int()

    def _spread(self, values: torch.Tensor,
                classes: Optional[torch.Tensor]) -> torch.Tensor:
        values = values.float()
        if classes is None:
            return values
        logits = values[:, -1:].repeat(1, self.classes)
        return logits.scatter_(1, classes.long(), values[:, :-1])


def check_form(dtype: str,
               top_k: Optional[int],
               others: Optional[str] = None) -> None:
    """Check the settings of a row.

    Args:
        dtype (str): See :class:`RowForm`.
        top_k (int, optional): Likewise.
        others (str, optional): Likewise. Defaults to None: not given.

    Raises:
        ConfigError: For another dtype, a ``top_k`` out of its range, or
            unknown ``others``.
    """
    here = 'chain.logit_store'
    # In a tuple: a dict raises for what has no hash.
    if dtype not in tuple(DTYPES):
        raise ConfigError(f'{here}.dtype: {dtype!r} is none of '
                          f'{", ".join(DTYPES)}')
    if top_k is not None and not (isinstance(top_k, int) and top_k > 0):
        raise ConfigError(f'{here}.top_k: {top_k!r} must be an integer, 1 or '
                          'more, or None for all classes')
    if others is not None and others not in OTHERS:
        raise ConfigError(f'{here}.others: {others!r} is none of '
                          f'{", ".join(OTHERS)}')
    if others == 'zero' and top_k is None:
        raise ConfigError(f"{here}.others: 'zero' is of the classes beside "
                          'the largest, but top_k is not given; leave it out')
