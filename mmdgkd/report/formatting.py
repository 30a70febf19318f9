# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Numbers, durations and lists as text."""
from collections.abc import Iterable

DASH = '–'  # not known


def format_number(value: float | None, digits: int = 2) -> str:
    """Such as ``97.18``."""
    return DASH if value is None else f'{value:.{digits}f}'


def format_count(value: float | None) -> str:
    """Such as ``272,474``."""
    return DASH if value is None else f'{value:,.0f}'


def format_short(value: float | None) -> str:
    """Such as ``2.55 M``: three digits."""
    if value is None:
        return DASH
    for size, letter in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if value >= 0.9995 * size:  # three digits of it are no less
            return f'{value / size:.3g}\u00a0{letter}'
    return f'{value:g}'


def format_duration(seconds: float | None) -> str:
    """Such as ``7.6 s``, ``2 min 05 s`` or ``1 h 12 min``."""
    if seconds is None:
        return DASH
    if round(seconds, 1) < 60:
        return f'{seconds:.1f}\u00a0s'
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f'{minutes} min {rest:02} s'
    return f'{minutes // 60} h {minutes % 60:02} min'


def format_list(items: Iterable) -> str:
    """Such as ``a, b and c``."""
    *rest, last = [str(item) for item in items] or ['']
    return f'{", ".join(rest)} and {last}' if rest else last


def format_progress(stage) -> str:
    """Such as ``, 3 of 8``, or ``, 3 so far``, of a running stage."""
    step = stage.history[-1][0] if stage.history else 0
    return f', {step} of {stage.length}' if stage.length else (
        f', {step} so far')


def unit_of(metric: str | None) -> str:
    """`` %`` for MMPretrain's accuracies, which are percentages."""
    return '\u00a0%' if str(metric).startswith('accuracy') else ''


def format_metric(metric: str | None) -> str:
    """Such as ``accuracy/top1, %``."""
    return f'{metric or ""}, {unit_of(metric).strip()}'.removesuffix(', ')
