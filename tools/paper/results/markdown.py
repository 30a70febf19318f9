# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Tables in Markdown, and the marked blocks of a page that hold them."""
import os.path as osp
import re
from typing import List, Mapping, Sequence

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write

NO_RUNS = 'No runs yet.'
_NUMBER = re.compile(r'[+-]?\d')
_MARK = re.compile(r'<!-- results: (\S+) (begin|end) -->')
_BLOCK = re.compile(
    r'(<!-- results: (\S+) begin -->)(.*?)(<!-- results: \2 end -->)', re.S)


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


def fill(page: str, text: str, blocks: Mapping[str, str]) -> str:
    """Write blocks between the marks of a page that has them.

    Args:
        page (str): Its name, for messages.
        text (str): Its text.
        blocks (Mapping[str, str]): What is to stand between
            ``<!-- results: NAME begin -->`` and ``<!-- results: NAME end
            -->``, by NAME.

    Returns:
        str: The new text.

    Raises:
        ConfigError: If marks do not come in pairs, or name no block.
    """
    _check_marks(page, text, blocks)
    return _BLOCK.sub(
        lambda found: f'{found[1]}\n{blocks[found[2]]}\n{found[4]}', text)


def stale(page: str, text: str, blocks: Mapping[str, str]) -> List[str]:
    """The blocks of a page that are not up to date, by name.

    Arguments and errors are those of :func:`fill`.
    """
    _check_marks(page, text, blocks)
    return [
        found[2] for found in _BLOCK.finditer(text)
        if found[3] != f'\n{blocks[found[2]]}\n'
    ]


def read_page(root: str, page: str) -> str:
    """The text of a page of a checkout, its line ends as they are."""
    try:
        with open(osp.join(root, page), encoding='utf-8', newline='') as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f'--root: {page}: {error.strerror}; should be a '
                          'checkout of mmdgkd') from None


def write_page(root: str, page: str, blocks: Mapping[str, str]) -> bool:
    """Fill a page of a checkout; returns whether it was not up to date."""
    text = read_page(root, page)
    filled = fill(page, text, blocks)
    if filled != text:
        with atomic_write(osp.join(root, page), 'wb') as file:
            file.write(filled.encode())
    return filled != text


def _check_marks(page: str, text: str, blocks: Mapping[str, str]) -> None:
    names = set()
    for _, name, inner, _ in _BLOCK.findall(text):
        nested = _MARK.search(inner)
        if nested:
            raise ConfigError(f'{page}: results: {nested[1]}: stands inside '
                              f'{name}; each needs its own place')
        if name in names:
            raise ConfigError(f'{page}: results: {name}: is there twice; a '
                              'block has one place in a page')
        names.add(name)
    single = _MARK.search(_BLOCK.sub('', text))
    if single:
        other = 'end' if single[2] == 'begin' else 'begin'
        raise ConfigError(f'{page}: results: {single[1]}: has no {other} mark')
    unknown = names - set(blocks)
    if unknown:
        raise ConfigError(f'{page}: results: {unknown.pop()}: is no block; '
                          f'they are {", ".join(blocks)}')
