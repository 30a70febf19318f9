# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a logit store holds, and what of it is stale: ``mmdgkd store``."""
import contextlib
import os
import os.path as osp
import re
from typing import Dict, List, Sequence, Set

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.fileio.state_dicts import all_forms
from mmdgkd.models.utils.weights import weights_sha256
from mmdgkd.utils.table import draw_table
from .logit_file import LogitFile, locked, read_header


def show_store(path: str,
               networks: Sequence[str] = (),
               drop: bool = False) -> None:
    """Print what a store holds; remove what is stale if wanted.

    Args:
        path (str): A logit store, or the work dir it is in.
        networks (Sequence[str]): Trained networks elsewhere whose logits are
            not stale. Defaults to ().
        drop (bool): Whether to remove stale files. Defaults to False.

    Raises:
        ConfigError: If there is no such folder, or a network cannot be read.
    """
    folder = find_store(path)
    with locked(folder) if drop else contextlib.nullcontext():
        _report(folder, inspect_store(folder, networks), drop)


def _report(folder: str, entries: List[Dict], drop: bool) -> None:
    """Print the files of a store, and drop the stale ones if wanted.

    Args:
        folder (str): The store.
        entries (list[dict]): See :func:`inspect_store`.
        drop (bool): Whether to remove stale files.
    """
    rows = [(entry['file'], entry['views'], entry['form'], entry['rows'],
             f'{entry["bytes"] / 1e6:,.1f} MB', entry['state'])
            for entry in entries]
    if rows:
        print(
            draw_table(('file', 'views of', 'form', 'views: rows cached',
                        'on disk', 'state'), rows))
    else:
        print(f'{folder} holds no logits')
    stale = [entry for entry in entries if entry['state'] != 'in use']
    for entry in stale if drop else ():
        os.remove(osp.join(folder, entry['file']))
    if stale:
        size = sum(entry['bytes'] for entry in stale) / 1e6
        print(f'dropped {len(stale)} files, {size:,.1f} MB' if drop else
              f'{len(stale)} files, {size:,.1f} MB, are stale; --drop removes '
              'them')


def find_store(path: str) -> str:
    """Find the store.

    Args:
        path (str): A store, or the work dir it is in.

    Returns:
        str: The folder.

    Raises:
        ConfigError: If there is no such folder.
    """
    if not osp.isdir(path):
        raise ConfigError(f'{path!r}: is no folder; name a logit store or a '
                          'work dir')
    inside = osp.join(path, 'logits')
    return inside if osp.isdir(inside) else path


def inspect_store(folder: str, networks: Sequence[str] = ()) -> List[Dict]:
    """List the files of a store.

    Args:
        folder (str): The store.
        networks (Sequence[str]): Files of trained networks that have moved
            since they were teachers. Defaults to ().

    Returns:
        list[dict]: For each file its name, what its header holds, its size,
        and its state: ``'in use'``, or why it is stale.

    Raises:
        ConfigError: If one of ``networks`` cannot be read.
    """
    elsewhere = {one for path in networks for one in _weights_of(path)}
    entries = []
    for name in sorted(os.listdir(folder)):
        path = osp.join(folder, name)
        if not re.fullmatch(r'.+-[0-9a-f]{16}\.logits(\.part)?', name):
            continue  # none of ours
        if name.endswith('.part'):
            entries.append(_entry(name, path, 'unfinished, left by a kill'))
            continue
        header = read_header(path)
        if header is None:
            entries.append(_entry(name, path, 'its header is damaged'))
            continue
        facts, info = header['depends_on'], header['info']
        weights = facts['teacher']['weights']
        state = 'in use'
        if weights not in elsewhere:
            state = _state_of_teacher(info, folder, weights)
        entry = _entry(name, path, state)
        file = LogitFile.open(path, facts)
        counts = [file.count(view) for view in range(file.num_views)]
        file.close()
        entry['views'] = info.get('views', '-')
        entry['form'] = facts['dtype'] + (f' top {facts["top_k"]}'
                                          if facts['top_k'] else '')
        if facts.get('others'):
            entry['form'] += f', others {facts["others"]}'
        entry['rows'] = f'{len(counts)}: {sum(counts):,}'
        entries.append(entry)
    return entries


def _state_of_teacher(info: Dict, folder: str, weights: str) -> str:
    """Compare the teacher's file, as it is now, with these weights."""
    if not info.get('path'):
        return 'its teacher had no file'
    if '://' in info['path']:
        return 'in use'  # as far as is known
    # The folder may have moved along with the work dir.
    places = [info['path'], osp.normpath(osp.join(folder, info['beside']))]
    found = [path for path in places if osp.isfile(path)]
    if any(weights in _weights_of(path) for path in found):
        return 'in use'
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


def _entry(name: str, path: str, state: str) -> Dict:
    return dict(
        file=name,
        views='-',
        form='-',
        rows='-',
        # Allocated; the file is sparse.
        bytes=os.stat(path).st_blocks * 512,
        state=state)
