# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A folder on several machines, whether their file system is shared or not."""
import contextlib
import os
import os.path as osp
import platform
import tempfile
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

import torch
from mmengine.dist import (all_gather_object, barrier, broadcast,
                           broadcast_object_list, get_world_size,
                           is_main_process)

from mmdgkd.errors import ConfigError
from .files import atomic_write, sha256_of
from .stage_checkpoints import checkpoints_of, is_damaged, sorted_checkpoints

_MARK = '.copy_of_the_first_process'
# Bytes that are sent at once.
_BLOCK = 1 << 24


class SharedFolder:
    """A folder that the first process writes and all of them read.

    Machines that do not see it have a folder of their own under that path,
    which :meth:`update` makes a copy of that of the first process. There is no
    setting: whether all see it is found out. To be made on all ranks.

    Args:
        path (str): The folder, which need not exist.
        parts (Sequence[str]): The folders in it that belong to it, too; of the
            folder itself only ``chain.json`` then does. Defaults to (): its
            own files.

    Raises:
        ConfigError: If that of a machine which does not see it has files, and
            is no copy, or that of the first process is one.
    """

    def __init__(self, path: str, parts: Sequence[str] = ()) -> None:
        self.path = path
        self._parts = parts
        # By file: what tells that it is the same, and its sha256.
        self._known: Dict[str, Tuple[Tuple[int, int], str]] = {}
        self._lacks = get_world_size() > 1 and not self._sees()
        self.is_shared = not any(all_gather_object(self._lacks))
        if not self.is_shared:
            self.refuse_copy()
        self._refuse(
            self._lacks and not self._is_copy and any(self._names()),
            'is not that of the first process, and has files of a '
            'training; remove it there, choose another --work-dir, '
            'or one that all machines share')

    def refuse_copy(self) -> None:
        """Check that what the first process writes to is no copy.

        To be called on all ranks.

        Raises:
            ConfigError: If it is one: the next run with all machines would
                replace what is trained there.
        """
        self._refuse(
            is_main_process() and self._is_copy,
            'is a copy of that of another machine: begin there '
            f'(NODE_RANK=0), or remove {_MARK!r} from it to go on '
            'from this copy')

    def update(self) -> None:
        """Copy what the first process has written to where it is missing.

        Of the checkpoints of a stage it is the one that a run goes on from. To
        be called on all ranks; none goes on before all have come.
        """
        barrier()
        if self.is_shared:
            return
        listed: List = [self._list() if is_main_process() else None]
        broadcast_object_list(listed)
        copies = self.writes and not is_main_process()
        missing = self._missing(listed[0]) if copies else []
        for name in sorted(set().union(*all_gather_object(missing))):
            self._send(name, name in missing)
        barrier()

    @property
    def line(self) -> str:
        """For the log, empty where all see it."""
        return '' if self.is_shared else (
            'work dir: not shared by all machines; those that do not see that '
            'of the first get copies of its networks and checkpoints')

    @property
    def writes(self) -> bool:
        """Whether this process writes it, or the copy of its machine."""
        first_here = os.environ.get('LOCAL_RANK', '0') == '0'
        return is_main_process() or (self._lacks and first_here)

    def _sees(self) -> bool:
        """Whether this process sees a file that the first one has written."""
        found: List[Optional[Tuple[int, str]]] = [None]
        folder, above = self.path, 0
        while not osp.isdir(folder):
            folder, above = osp.dirname(folder), above + 1
        try:
            # It has a new name: a network file system keeps names that were
            # not there.
            token = tempfile.NamedTemporaryFile(
                prefix='.mmdgkd_', dir=folder) if is_main_process() else None
        except OSError:
            token = None  # who writes there says why it cannot
        if token is not None:
            found = [(above, osp.basename(token.name))]
        broadcast_object_list(found)
        sees = True
        if found[0] is not None:
            folder = self.path
            for _ in range(found[0][0]):
                folder = osp.dirname(folder)
            sees = osp.exists(osp.join(folder, found[0][1]))
        barrier()
        if token is not None:
            token.close()
        return sees

    @property
    def _is_copy(self) -> bool:
        return osp.exists(osp.join(self.path, _MARK))

    def _refuse(self, here: bool, problem: str) -> None:
        """Raise an error on all ranks if there is a problem on one."""
        hosts = filter(None, all_gather_object(here and platform.node()))
        for host in hosts:
            raise ConfigError(f'work_dir: {self.path!r} on {host} {problem}')

    def _names(self) -> Iterator[str]:
        """The files that belong to it, by their path in it."""
        if self._parts and osp.isfile(osp.join(self.path, 'chain.json')):
            yield 'chain.json'
        for part in self._parts or ('', ):
            folder = osp.join(self.path, part)
            for name in os.listdir(folder) if osp.isdir(folder) else ():
                hidden = name.startswith('.')
                if not hidden and not name.endswith(
                    ('.log', '.part')) and osp.isfile(osp.join(folder, name)):
                    yield osp.join(part, name)

    def _list(self) -> Dict[str, Tuple[int, str]]:
        """The size and the sha256 of what the first process has."""
        older = set()
        for part in self._parts or ('', ):
            folder = osp.join(self.path, part)
            newest = next((path for path in sorted_checkpoints(folder)
                           if not is_damaged(path)), None)
            older |= {*checkpoints_of(folder)} - {newest}
        return {
            name: self._facts(name)
            for name in self._names() if osp.join(self.path, name) not in older
        }

    def _facts(self, name: str) -> Tuple[int, str]:
        """The size and the sha256 of a file."""
        path = osp.join(self.path, name)
        now = os.stat(path)
        stamp = now.st_size, now.st_mtime_ns
        if self._known.get(name, ())[:1] != (stamp, ):
            self._known[name] = stamp, sha256_of(path)
        return now.st_size, self._known[name][1]

    def _missing(self, listed: Dict[str, Tuple[int, str]]) -> List[str]:
        """Which files are missing or others here; earlier copies go."""
        mark = osp.join(self.path, _MARK)
        copied: Set[str] = set()
        if osp.exists(mark):
            with open(mark) as file:
                copied = set(file.read().splitlines())
        here = set(self._names())
        for name in copied & here - listed.keys():
            os.remove(osp.join(self.path, name))
        if listed or copied:
            # Those of other stages stay in it.
            copied = copied - here | listed.keys()
            with atomic_write(mark) as file:
                file.write('\n'.join(sorted(copied)) + '\n')
        return [
            name for name, facts in listed.items()
            if name not in here or self._facts(name) != facts
        ]

    def _send(self, name: str, wanted: bool) -> None:
        """Send a file from the first process to those that want it."""
        path = osp.join(self.path, name)
        with contextlib.ExitStack() as stack:
            if is_main_process():
                source = stack.enter_context(open(path, 'rb'))
            elif wanted:
                copy = stack.enter_context(atomic_write(path, 'wb'))
            # Another process may have replaced it since.
            sizes = [os.fstat(source.fileno()).st_size
                     ] if is_main_process() else [0]
            broadcast_object_list(sizes)
            size = sizes[0]
            for begin in range(0, size, _BLOCK):
                block = torch.empty(
                    min(_BLOCK, size - begin), dtype=torch.uint8)
                if is_main_process():
                    source.readinto(block.numpy())
                broadcast(block)
                if wanted:
                    copy.write(block.numpy())
