# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Numbers and lists for people."""
from typing import Any, Optional, Sequence

DASH = '–'


def number(value: Optional[float], digits: int = 2) -> str:
    """Such as ``97.18``; a dash for what is not known."""
    return DASH if value is None else f'{value:.{digits}f}'


def count(value: Optional[int]) -> str:
    """Such as ``272,474``."""
    return DASH if value is None else f'{value:,}'


def short(value: Optional[float]) -> str:
    """Such as ``2.55 M``: three digits."""
    if value is None:
        return DASH
    for size, letter in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if value >= 0.9995 * size:  # three digits of it are no less
            return f'{value / size:.3g}\u00a0{letter}'
    return f'{value:g}'


def duration(seconds: Optional[float]) -> str:
    """Such as ``7.6 s``, ``2 min 05 s`` or ``1 h 12 min``."""
    if seconds is None:
        return DASH
    if round(seconds, 1) < 60:
        return f'{seconds:.1f}\u00a0s'
    whole = round(seconds)
    if whole < 3600:
        return f'{whole // 60} min {whole % 60:02} s'
    return f'{whole // 3600} h {whole % 3600 // 60:02} min'


def listed(words: Sequence[Any]) -> str:
    """Such as ``a, b and c``."""
    words = [str(word) for word in words]
    if len(words) < 2:
        return ''.join(words)
    return f'{", ".join(words[:-1])} and {words[-1]}'


def unit_of(metric: Optional[str]) -> str:
    """`` %`` behind MMPretrain's accuracies, which are percentages."""
    return '\u00a0%' if str(metric).startswith('accuracy') else ''
