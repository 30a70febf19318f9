# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Removing parts of a logit store: ``mmdgkd store gc`` and ``drop``."""
import os.path as osp
from typing import Optional, Sequence

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.object_folder import ObjectFolder
from .inventory import IN_USE, Entry, find_store, inspect_store, size_of
from .piece import parse_name


def collect_garbage(path: str, networks: Sequence[str] = ()) -> None:
    """Remove what is stale.

    Args:
        path (str): See :func:`list_store`.
        networks (Sequence[str]): Likewise.

    Raises:
        ConfigError: Likewise.
    """
    store = find_store(path)
    stale = [
        entry for entry in inspect_store(store, networks)
        if entry.state != IN_USE
    ]
    _remove(store, stale)


def drop_teacher(path: str,
                 teacher: str,
                 views: Optional[range] = None) -> None:
    """Remove the logits of a teacher.

    Args:
        path (str): See :func:`list_store`.
        teacher (str): Its name, or that of a folder.
        views (range, optional): The numbers of the views. Defaults to None:
            all.

    Raises:
        ConfigError: If there is no such store, or no such teacher in it.
    """
    store = find_store(path)
    entries = inspect_store(store)
    chosen = [
        entry for entry in entries if teacher in (entry.teacher, entry.folder)
    ]
    if not chosen:
        known = ', '.join(sorted({entry.teacher for entry in entries}))
        raise ConfigError(f'--teacher: {store.path!r} has no logits of '
                          f'"{teacher}", but of {known or "no teacher"}')
    for entry in chosen if views is not None else ():
        names = {name: parse_name(osp.basename(name)) for name in entry.files}
        entry.files = [
            name for name, parsed in names.items()
            if parsed is not None and parsed.view in views
        ]
        entry.num_bytes = sum(map(store.size, entry.files))
    _remove(store, chosen)


def _remove(store: ObjectFolder, entries: Sequence[Entry]) -> None:
    try:
        for entry in entries:
            for name in entry.files:
                store.remove(name)
            store.remove_folder(entry.folder)
    except OSError as error:
        raise ConfigError(f'{store.path!r}: cannot be changed '
                          f'({error.strerror or error})') from None
    print(f'removed {size_of(entries)}')
