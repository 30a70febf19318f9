# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Names of classes: reading them, and matching those of two networks."""
import functools
import os.path as osp
import re
from collections import defaultdict
from difflib import get_close_matches
from importlib import resources
from typing import Any, Dict, List, Sequence, Set, Tuple

from mmengine.registry import DATASETS
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import find_type


def read_classes(given: Any, key: str) -> Tuple[str, ...]:
    """Read ``teacher_classes``.

    Args:
        given (Any): As in the config: a list of names; a text file with one a
            line, such as ImageNet's ``LOC_synset_mapping.txt``; or a data set
            that has them, such as ``'ImageNet'``.
        key (str): Its config key.

    Raises:
        ConfigError: If it is neither, or names a class twice.
    """
    names: Any = given
    if isinstance(given, str) and osp.isfile(given):
        try:
            with open(given, encoding='utf-8') as file:
                names = [line.strip() for line in file if line.strip()]
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f'{key}: {given!r} cannot be read as a text of '
                              'one name a line') from None
    elif isinstance(given, str):
        try:
            names = find_type(DATASETS, given).METAINFO['classes']
        except (KeyError, AttributeError):
            raise ConfigError(f'{key}: {given!r} is neither a file of names '
                              'nor a data set with names of classes') from None
    if not isinstance(names, (list, tuple)) or not names or not all(
            isinstance(name, str) and name for name in names):
        raise ConfigError(f'{key}: must be the names of the classes, in the '
                          'order of the logits, or a file with one a line')
    return tuple(names)


def match_classes(wanted: Sequence[str], own: Sequence[str],
                  key: str) -> Tuple[int, ...]:
    """Find classes among those of a network, by name.

    First by the same name; then without regard to case, ``_`` and ``-``, by
    any of several names that commas separate, or by a WordNet id such as
    ``n01440764``, alone or in front of names. Those of ImageNet's 1000 classes
    are known.

    Args:
        wanted (Sequence[str]): The classes of the data.
        own (Sequence[str]): Those of the network, in the order of its logits.
        key (str): The config key, for messages.

    Returns:
        tuple[int]: For each of the wanted ones its index in ``own``.

    Raises:
        ConfigError: If one is missing, may be several, or is one with another.
    """
    exact, others = defaultdict(set), defaultdict(set)
    for i, name in enumerate(own):
        exact[name].add(i)
        for alias in _aliases(name):
            others[alias].add(i)
    if tuple(own) == tuple(IMAGENET_CATEGORIES):
        # Two of its names are those of two classes each.
        for i, synset in enumerate(_imagenet_synsets()):
            exact[synset].add(i)
    picked: List[int] = []
    missing = []
    for name in wanted:
        found = exact.get(name) or set().union(*(others.get(alias, ())
                                                 for alias in _aliases(name)))
        if len(found) > 1:
            raise ConfigError(
                f'{key}: the class {name!r} of the data may be any of '
                f'{", ".join(f"{own[i]!r} ({i})" for i in sorted(found))}; '
                'give it one of these names, or its WordNet id')
        if not found:
            missing.append(name)
        picked += found
    if missing:
        close = get_close_matches(missing[0], own, n=3)
        more = f', and {len(missing) - 1} more' if len(missing) > 1 else ''
        raise ConfigError(
            f'{key}: has no {missing[0]!r}{more} of the {len(wanted)} classes '
            'of the data; ' +
            (f'similar: {", ".join(close)}'
             if close else f'it has {len(own)}, such as {", ".join(own[:3])}'))
    for i, index in enumerate(picked):
        if index in picked[:i]:
            raise ConfigError(
                f'{key}: {wanted[picked.index(index)]!r} and {wanted[i]!r} of '
                f'the data are both its class {own[index]!r}')
    return tuple(picked)


def _aliases(name: str) -> Set[str]:
    """The names that a class may have, in one spelling."""
    synset = re.match(r'(n\d{8})\b[\s,:]*', name)
    rest, found = name, set()
    if synset:
        found, rest = {synset[1]}, name[synset.end():]
        rest = rest or _imagenet_synsets().get(synset[1], '')
    for part in (rest, *rest.split(',')):
        found.add(' '.join(re.sub('[_-]', ' ', part).casefold().split()))
    return found - {''}


@functools.lru_cache(maxsize=None)
def _imagenet_synsets() -> Dict[str, str]:
    """Names by WordNet id, in the order of ImageNet's 1000 classes."""
    ids = resources.files('mmdgkd.datasets').joinpath('imagenet_synsets.txt')
    return dict(zip(ids.read_text().split(), IMAGENET_CATEGORIES))
