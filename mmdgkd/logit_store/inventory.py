# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a logit store holds, and what of it is stale: ``mmdgkd store``."""
import os.path as osp
import re
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.fileio.object_folder import DamagedFile, ObjectFolder, is_local
from mmdgkd.fileio.state_dicts import all_forms
from mmdgkd.models.utils.weights import weights_sha256
from mmdgkd.utils.table import draw_table
from .piece import parse_name, unpack

_FOLDER = re.compile(r'(.+)-[0-9a-f]{16}')
_OLD = re.compile(r'.+-[0-9a-f]{16}\.logits(\.part)?')
# Seconds after which no process is still writing a file.
_ABANDONED = 3600
IN_USE = 'in use'


@dataclass
class Entry:
    """What a store has of a teacher.

    Attributes:
        folder (str): Its folder, or a file.
        state (str): ``'in use'``, or why it is stale.
        files (list[str]): The files that are removed with it.
        header (dict): See ``Piece``; empty if it cannot be read.
        num_bytes (int): What the files take.
    """

    folder: str
    state: str
    files: List[str] = field(default_factory=list)
    header: Dict[str, Any] = field(default_factory=dict)
    num_bytes: int = 0

    @property
    def teacher(self) -> str:
        """The name that the teacher had."""
        found = _FOLDER.match(self.folder)
        return found[1] if found else self.folder

    @property
    def form(self) -> str:
        """The format of the rows, for people."""
        if not self.header:
            return '-'
        facts = self.header['depends_on']
        top_k, others = facts['top_k'], facts.get('others')
        return (facts['dtype'] + (f' top {top_k}' if top_k else '') +
                (f', others {others}' if others else ''))

    @property
    def rows(self) -> str:
        """Such as ``2: 128``: views and rows."""
        names = [parse_name(osp.basename(name)) for name in self.files]
        views = [name for name in names if name is not None]
        if not views:
            return '-'
        return (f'{len({name.view for name in views})}: '
                f'{sum(name.rows for name in views):,}')


def list_store(path: str, networks: Sequence[str] = ()) -> None:
    """Print what a store holds.

    Args:
        path (str): A logit store, or the work dir it is in.
        networks (Sequence[str]): Trained networks elsewhere whose logits are
            not stale. Defaults to ().

    Raises:
        ConfigError: If there is no such store, or a network cannot be read.
    """
    store = find_store(path)
    entries = inspect_store(store, networks)
    if not entries:
        print(f'{store.path} holds no logits')
        return
    rows = [(entry.folder, entry.header.get('info', {}).get('views',
                                                            '-'), entry.form,
             entry.rows, f'{entry.num_bytes / 1e6:,.1f} MB', entry.state)
            for entry in entries]
    print(
        draw_table(
            ('teacher', 'views of', 'form', 'views: rows', 'size', 'state'),
            rows))
    stale = [entry for entry in entries if entry.state != IN_USE]
    if stale:
        print(f'{_size_of(stale)}, are stale; mmdgkd store gc removes them')


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


def find_store(path: str) -> ObjectFolder:
    """Find the store.

    Args:
        path (str): A store, or the work dir it is in, or an address of
            fsspec.

    Raises:
        ConfigError: If there is no such folder.
    """
    if not is_local(path):
        return ObjectFolder(path)
    path = path.removeprefix('file://')
    if not osp.isdir(path):
        raise ConfigError(f'{path!r}: is no folder; name a logit store or a '
                          'work dir')
    inside = osp.join(path, 'logits')
    return ObjectFolder(inside if osp.isdir(inside) else path)


def check_store(address: str) -> None:
    """Check a store before a training.

    Args:
        address (str): A folder, or an address of fsspec.

    Raises:
        ConfigError: If it has files of a format before views were files, or if
            it is not on a disk here and cannot be written.
    """
    store, old = ObjectFolder(address), []
    try:
        store.check()
        old = [name for name in store.list() if _OLD.fullmatch(name)]
    except OSError as error:
        if not store.is_local:  # Else a run goes on without it.
            raise ConfigError('chain.logit_store.store_dir: '
                              f'{address!r} cannot be written '
                              f'({error.strerror or error})') from None
    if old:
        raise ConfigError(
            f'chain.logit_store.store_dir: {osp.join(store.path, old[0])!r} '
            'was written by an older mmdgkd and cannot be read; remove it, '
            f'such as by mmdgkd store gc {store.path}, and its logits are '
            'computed again')


def inspect_store(
    store: ObjectFolder, networks: Sequence[str] = ()) -> List[Entry]:
    """List what a store holds, by teacher.

    Args:
        store (ObjectFolder): The store.
        networks (Sequence[str]): Files of trained networks that have moved
            since they were teachers. Defaults to ().

    Raises:
        ConfigError: If one of ``networks``, or the store, cannot be read.
    """
    elsewhere = {one for path in networks for one in _weights_of(path)}
    try:
        entries = []
        for name in store.list():
            if _OLD.fullmatch(name):
                entries.append(
                    Entry(
                        name,
                        'of an older mmdgkd', [name],
                        num_bytes=store.size(name)))
            elif _FOLDER.fullmatch(name):
                entries += _of_folder(store, name, elsewhere)
    except OSError as error:
        raise ConfigError(f'{store.path!r}: cannot be read '
                          f'({error.strerror or error})') from None
    return entries


def _of_folder(store: ObjectFolder, folder: str,
               elsewhere: Set[str]) -> List[Entry]:
    names = store.list(folder)
    views = [f'{folder}/{name}' for name in names if parse_name(name)]
    parts = [f'{folder}/{name}' for name in names if name.endswith('.part')]
    parts = [name for name in parts if _is_abandoned(store, name)]
    found = []
    if views:
        header = _first_header(store, views)
        state = 'is damaged'
        if header:
            weights = header['depends_on']['teacher']['weights']
            state = IN_USE if weights in elsewhere else _state_of_teacher(
                header['info'], store, weights)
        size = sum(map(store.size, views))
        found.append(Entry(folder, state, views, header, size))
    if parts:
        size = sum(map(store.size, parts))
        found.append(
            Entry(folder, 'unfinished, left by a kill', parts, num_bytes=size))
    return found


def _first_header(store: ObjectFolder, names: Sequence[str]) -> Dict[str, Any]:
    """The header of the first file that is not damaged."""
    for name in names:
        try:
            piece = unpack(store.read(name))
        except (DamagedFile, FileNotFoundError):
            continue
        if piece is not None:
            return piece.header
    return {}


def _is_abandoned(store: ObjectFolder, name: str) -> bool:
    path = osp.join(store.path, name)
    return (store.is_local and time.time() - osp.getmtime(path) > _ABANDONED)


def _remove(store: ObjectFolder, entries: Sequence[Entry]) -> None:
    try:
        for entry in entries:
            for name in entry.files:
                store.remove(name)
            store.remove_folder(entry.folder)
    except OSError as error:
        raise ConfigError(f'{store.path!r}: cannot be changed '
                          f'({error.strerror or error})') from None
    print(f'removed {_size_of(entries)}')


def _size_of(entries: Sequence[Entry]) -> str:
    files = sum(len(entry.files) for entry in entries)
    size = sum(entry.num_bytes for entry in entries) / 1e6
    return f'{files} files, {size:,.1f} MB'


def _state_of_teacher(info: Mapping[str, Any], store: ObjectFolder,
                      weights: str) -> str:
    """Compare the teacher's file, as it is now, with these weights."""
    if not info.get('path'):
        return 'its teacher had no file'
    if '://' in info['path']:
        return IN_USE  # as far as is known
    # The folder may have moved along with the work dir.
    places = [info['path']]
    if 'beside' in info:
        places.append(osp.normpath(osp.join(store.path, info['beside'])))
    found = [path for path in places if osp.isfile(path)]
    if not found and not store.is_local:
        return IN_USE  # it may be on another machine
    if any(weights in _weights_of(path) for path in found):
        return IN_USE
    return 'its teacher has changed' if found else 'its teacher is gone'


def _weights_of(path: str) -> Set[str]:
    """Hash the weights in a file, under all names that they may get."""
    try:
        checkpoint = read_checkpoint(path, '--keep')
        return {weights_sha256(form.state) for form in all_forms(checkpoint)}
    except ConfigError:
        if not osp.isfile(path):
            raise
        return set()
