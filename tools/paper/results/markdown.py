# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Tables in Markdown, and the marked blocks of a page that hold them."""
import re
from typing import Dict, List, Mapping, Optional, Sequence

from mmdgkd.errors import ConfigError
from .statistics import Difference, Summary

NO_RUNS = 'No runs yet.'
_NUMBER = re.compile(r'[+-]?\d')
_MARK = re.compile(r'<!-- results: (\S+) (begin|end) -->')


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: columns of numbers to the right, of words to the left.

    Args:
        heads (Sequence[str]): The heads.
        rows (Sequence[Sequence[str]]): The cells.
    """
    rule = [
        '---:' if at and any(_NUMBER.match(row[at]) for row in rows) else '---'
        for at in range(len(heads))
    ]
    return '\n'.join(f'| {" | ".join(line)} |'
                     for line in (heads, rule, *rows))


def cell(summary: Optional[Summary]) -> str:
    """Mean and spread, or a dash for what is missing.

    Args:
        summary (Summary, optional): The runs.
    """
    return '-' if summary is None else summary.text()


def gain(value: Optional[Difference]) -> str:
    """A difference with its standard error, or a dash for what is missing.

    Args:
        value (Difference, optional): A star is added if it is more than two
            standard deviations.
    """
    if value is None:
        return '-'
    text = f'{value.mean:+.2f}'
    if value.error is not None:
        text += f' ({value.error:.2f})'
    return text + ('*' if value.separable else '')


def fill(page: str, text: str, blocks: Mapping[str, str]) -> str:
    """Write blocks between the marks of a page that has them.

    Args:
        page (str): Its name, for messages.
        text (str): What it says now.
        blocks (Mapping[str, str]): What is to stand between
            ``<!-- results: NAME begin -->`` and ``<!-- results: NAME end
            -->``, by NAME.

    Returns:
        str: The new page.

    Raises:
        ConfigError: If marks do not come in pairs, or name no block.
    """
    parts, at = [], 0
    for name, (start, end) in _places(page, text, blocks).items():
        parts += [text[at:start], f'\n{blocks[name]}\n']
        at = end
    return ''.join(parts) + text[at:]


def stale(page: str, text: str, blocks: Mapping[str, str]) -> List[str]:
    """Which blocks of a page are not what they should be.

    Args:
        page (str): Its name, for messages.
        text (str): What it says now.
        blocks (Mapping[str, str]): As of :func:`fill`.

    Returns:
        list[str]: Their names.

    Raises:
        ConfigError: As :func:`fill`.
    """
    return [
        name for name, (start, end) in _places(page, text, blocks).items()
        if text[start:end] != f'\n{blocks[name]}\n'
    ]


def _places(page: str, text: str, blocks: Mapping[str, str]) -> Dict:
    """From where to where each block of a page goes, in its order."""
    places: Dict[str, List[int]] = {}
    is_open = None
    for mark in _MARK.finditer(text):
        name, kind = mark.groups()
        said = f'{page}: results: {name}'
        if name not in blocks:
            raise ConfigError(f'{said}: is no block; they are '
                              f'{", ".join(blocks)}')
        if kind == 'begin':
            if is_open is not None:
                raise ConfigError(f'{said}: begins before {is_open} has '
                                  'ended; each needs its end mark')
            if name in places:
                raise ConfigError(f'{said}: is there twice; a block has one '
                                  'place in a page')
            is_open = name
            places[name] = [mark.end()]
        else:
            if is_open != name:
                raise ConfigError(f'{said}: ends, but has not begun; each '
                                  'needs its begin mark')
            is_open = None
            places[name].append(mark.start())
    if is_open is not None:
        raise ConfigError(f'{page}: results: {is_open}: has no end mark')
    return places
