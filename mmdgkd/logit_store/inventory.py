# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a logit store holds, and what of it is stale: ``mmdgkd store``."""
import os.path as osp
import re
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checked_names import DamagedFile
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.fileio.object_folder import ObjectFolder, is_local
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
        print(f'{size_of(stale)}, are stale; mmdgkd store gc removes them')


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
    here, old = 'chain.logit_store.store_dir', []
    store = ObjectFolder(address, key=here)
    try:
        store.check()
        old = [name for name in store.list() if _OLD.fullmatch(name)]
    except OSError as error:
        if not store.is_local:  # Else a run goes on without it.
            raise ConfigError(f'{here}: {address!r} cannot be written '
                              f'({error.strerror or error})') from None
    if old:
        raise ConfigError(
            f'{here}: {osp.join(store.path, old[0])!r} was written by an '
            'older mmdgkd and cannot be read; remove it, such as by mmdgkd '
            f'store gc {store.path}, and its logits are computed again')


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
        header, state = _first_in_use(store, views, elsewhere)
        size = sum(map(store.size, views))
        found.append(Entry(folder, state, views, header, size))
    if parts:
        size = sum(map(store.size, parts))
        found.append(
            Entry(folder, 'unfinished, left by a kill', parts, num_bytes=size))
    return found


def _first_in_use(store: ObjectFolder, names: Sequence[str],
                  elsewhere: Set[str]) -> Tuple[Dict[str, Any], str]:
    """The header and the state of the first file whose teacher is there.

    Several work dirs may have written files, each with its own place of the
    teacher. If none is there: those of the first file that can be read.
    """
    found: Tuple[Dict[str, Any], str] = {}, 'is damaged'
    for name in names:
        try:
            piece = unpack(store.read(name))
        except (DamagedFile, FileNotFoundError):
            continue
        if piece is None:
            continue
        header = piece.header
        weights = header['depends_on']['teacher']['weights']
        state = IN_USE if weights in elsewhere else _state_of_teacher(
            header['info'], store, weights)
        if state == IN_USE:
            return header, state
        if not found[0]:
            found = header, state
    return found


def _is_abandoned(store: ObjectFolder, name: str) -> bool:
    path = osp.join(store.path, name)
    return (store.is_local and time.time() - osp.getmtime(path) > _ABANDONED)


def size_of(entries: Sequence[Entry]) -> str:
    """Number and size of the files of entries, for people.

    Args:
        entries (Sequence[Entry]): The entries.
    """
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
