# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Sequence

import torch

from mmdgkd.errors import ConfigError

DTYPES = {'float16': torch.float16, 'float32': torch.float32}
OTHERS = ('even', 'zero')
# A logit of no probability that float16 has; at no temperature in use is it
# one.
_ZERO = -6e4


class Rows(NamedTuple):
    """Rows: the logits of a view of some samples, as they are kept.

    Attributes:
        values (torch.Tensor): Logits, of shape (N, C), or (N, top_k + 1), of
            which the last is that of each other class.
        classes (torch.Tensor, optional): The classes of the others, int32 of
            shape (N, top_k). Defaults to None: all, in order.
    """

    values: torch.Tensor
    classes: Optional[torch.Tensor] = None

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> 'Rows':
        """Apply a function to both.

        Args:
            function (Callable): From a tensor to a tensor.
        """
        return Rows(*(part if part is None else function(part)
                      for part in self))

    def take(self, places: torch.Tensor) -> 'Rows':
        """Some of them.

        Args:
            places (torch.Tensor): int64 of shape (M, ), on their device.
        """
        return self.map(lambda part: part.index_select(0, places))


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows one after the other.

    Args:
        parts (Sequence[Rows]): Of one form and device.
    """
    values, classes = zip(*parts)
    return Rows(
        torch.cat(values), None if classes[0] is None else torch.cat(classes))


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
        """Bytes of a row."""
        size = torch.finfo(DTYPES[self.dtype]).bits // 8
        if self.is_full:
            return self.classes * size
        return (self.top_k + 1) * size + self.top_k * 4

    def encode(self, logits: torch.Tensor) -> Rows:
        """Round logits, on their own device.

        Args:
            logits (torch.Tensor): Shape (N, C).
        """
        dtype = DTYPES[self.dtype]
        logits = logits.detach().float()
        if self.dtype == 'float16':
            # What is beyond its range would be decoded as infinity.
            top = torch.finfo(dtype).max
            logits = logits.clamp(-top, top)
        if self.is_full:
            return Rows(logits.to(dtype, copy=True))
        order = logits.argsort(dim=1, descending=True, stable=True)
        kept, others = order.split([self.top_k, self.classes - self.top_k], 1)
        if self.others == 'zero':
            rest = torch.full_like(logits[:, :1], _ZERO)
        else:
            rest = logits.gather(1, others).logsumexp(1, keepdim=True)
            rest = rest - math.log(self.classes - self.top_k)
        values = torch.cat([logits.gather(1, kept), rest], 1)
        return Rows(values.to(dtype), kept.int())

    def decode(self, rows: Rows) -> torch.Tensor:
        """The logits of rows, on their own device.

        Args:
            rows (Rows): As :meth:`encode` gives them.

        Returns:
            torch.Tensor: float32 of shape (N, C).
        """
        values = rows.values.float()
        if rows.classes is None:
            return values
        logits = values[:, -1:].repeat(1, self.classes)
        return logits.scatter_(1, rows.classes.long(), values[:, :-1])


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
