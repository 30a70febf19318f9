# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import os.path as osp
from typing import Any, Dict, Iterator, Optional, Set, Tuple

import numpy as np

from mmdgkd.fileio.files import parse_json, without_locks
from .encoding import RowForm

MAGIC = 'mmdgkd logits 1'
HEADER = 4096  # bytes; the rows begin at a page
RESERVE = 10**9  # bytes that a disk keeps, or a twentieth of it
_TAG = 8  # bytes


class LogitFile:
    """The logits of one teacher for all views of a data set, memory-mapped.

    A header, a page of JSON that describes the rows, and then a row for each
    (view, index), at ``view * num_samples + index``. The first eight bytes of
    a row are a checksum of the rest and of its place. A row whose checksum
    does not match counts as missing: a kill, a full disk, a flipped bit or
    another process in the middle of writing cannot harm. Rows are written by
    ``pwrite``, in which a full disk is an error; through the mapping it would
    be a signal.

    Args:
        path (str): The file.
        fd (int): Its descriptor.
        header (dict): See :func:`read_header`.

    Attributes:
        replaced (bool): Whether :meth:`make` found a file there that could
            not be opened, and wrote this one over it.
    """

    def __init__(self, path: str, fd: int, header: Dict[str, Any]) -> None:
        self.path = path
        self.header = header
        self.replaced = False
        facts = header['depends_on']
        self.form = RowForm(header['classes'], facts['dtype'], facts['top_k'],
                            facts.get('others', 'even'))
        self.num_samples = header['num_samples']
        self._fd = fd
        self._row = _TAG + self.form.num_bytes
        self._size = 0
        self._rows: Optional[np.ndarray] = None
        self._allocated: Set[int] = set()
        # Fixed odd numbers: a change of any one word changes the sum.
        bits = np.random.Philox(key=0x746167)
        self._factors = bits.random_raw(self._row // 8) | np.uint64(1)

    @classmethod
    def open(cls, path: str, facts: Dict[str, Any]) -> Optional['LogitFile']:
        """Open an existing file.

        Args:
            path (str): The file.
            facts (dict): What its rows must depend on.

        Returns:
            LogitFile, optional: None if there is none, or its header is
            damaged or names other facts.
        """
        try:
            header = read_header(path)
            if header is None or header['depends_on'] != facts:
                return None
            mode = os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY
            return cls(path, os.open(path, mode | os.O_CLOEXEC), header)
        except (FileNotFoundError, KeyError, TypeError):
            return None

    @classmethod
    def make(cls, path: str, facts: Dict[str, Any], form: RowForm,
             num_samples: int, info: Dict[str, Any]) -> 'LogitFile':
        """Make a file, in place of one that cannot be opened.

        Of several processes that do so at once one makes it, and the others
        open it.

        Args:
            path (str): The file.
            facts (dict): What its rows depend on, plain data.
            form (RowForm): How a row is written.
            num_samples (int): Length of the data set.
            info (dict): What else is in the header, plain data.

        Raises:
            OSError: If it cannot be written.
        """
        header = _page(
            dict(
                depends_on=facts,
                classes=form.classes,
                num_samples=num_samples,
                row_bytes=_TAG + form.num_bytes,
                info=info))
        os.makedirs(osp.dirname(path), exist_ok=True)
        with locked(osp.dirname(path)):
            found = cls.open(path, facts)
            replaced = found is None and osp.exists(path)
            if found is None:
                beside = f'{path}.part'
                with open(beside, 'wb') as file:
                    file.write(header)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, path)
                found = cls.open(path, facts)
        if found is None:
            raise OSError(f'{path!r} does not read back as it was written')
        found.replaced = replaced
        return found

    def close(self) -> None:
        """Close the file."""
        self._rows = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, views: np.ndarray,
             indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Read rows.

        Args:
            views (np.ndarray): Number of each view, int64 of shape (N, ).
            indices (np.ndarray): Index of each sample, likewise.

        Returns:
            tuple[np.ndarray, np.ndarray]: The rows, uint8 of shape
            (N, bytes), and which of them are valid, bool of shape (N, ).
        """
        places = views * self.num_samples + indices
        self._map()
        num = 0 if self._rows is None else len(self._rows)
        inside = places < num
        if not num or not inside.any():
            empty = np.zeros((len(places), self.form.num_bytes), np.uint8)
            return empty, np.zeros(len(places), bool)
        words = self._rows[np.minimum(places, num - 1)]
        valid = inside & (words[:, 0] == self._tags(words[:, 1:], places))
        return words[:, 1:].copy().view(np.uint8), valid

    def write(self, views: np.ndarray, indices: np.ndarray,
              rows: np.ndarray) -> None:
        """Write rows.

        Args:
            views (np.ndarray): Number of each view, int64 of shape (N, ).
            indices (np.ndarray): Index of each sample, likewise.
            rows (np.ndarray): uint8 of shape (N, bytes).

        Raises:
            OSError: If the disk is full, or the file is read-only.
        """
        mode = fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == os.O_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        places = views * self.num_samples + indices
        for view in np.unique(views).tolist():
            self._allocate(view)
        words = np.empty((len(rows), self._row // 8), np.uint64)
        words[:, 1:] = np.ascontiguousarray(rows).view(np.uint64)
        words[:, 0] = self._tags(words[:, 1:], places)
        data = words.tobytes()
        for i, place in enumerate(places.tolist()):
            start = i * self._row
            _write_all(self._fd, data[start:start + self._row],
                       HEADER + place * self._row)

    def count(self, view: int) -> int:
        """Count the valid rows of a view.

        Args:
            view (int): Number of the view.
        """
        total = 0
        for first in range(0, self.num_samples, 1 << 16):
            indices = np.arange(first, min(first + (1 << 16),
                                           self.num_samples))
            valid = self.read(np.full_like(indices, view), indices)[1]
            total += int(valid.sum())
        return total

    @property
    def num_views(self) -> int:
        """Number of views that the file has room for by now."""
        size = max(os.fstat(self._fd).st_size - HEADER, 0)
        return -(-size // (self._row * self.num_samples))

    def _tags(self, words: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Checksums, never 0: a row that was never written is all zeros."""
        sums = (words * self._factors[1:]).sum(1, dtype=np.uint64)
        sums += (places.astype(np.uint64) + np.uint64(1)) * self._factors[0]
        sums ^= sums >> np.uint64(29)
        return np.maximum(sums, np.uint64(1))

    def _map(self) -> None:
        """Map the file as long as it is now; beyond its end is a signal."""
        size = os.fstat(self._fd).st_size
        if size == self._size:
            return
        self._size = size
        num = max(size - HEADER, 0) // self._row
        self._rows = None
        if num:
            mapped = mmap.mmap(
                self._fd, HEADER + num * self._row, access=mmap.ACCESS_READ)
            self._rows = np.frombuffer(
                mapped, np.uint64, offset=HEADER).reshape(num, -1)

    def _allocate(self, view: int) -> None:
        """Reserve the disk space of a view before its first row."""
        if view in self._allocated:
            return
        length = self.num_samples * self._row
        start = HEADER + view * length
        # The last of the disk is for checkpoints, without which there is no
        # run.
        disk = os.fstatvfs(self._fd)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 20)
        new = max(0, start + length - os.fstat(self._fd).st_size)
        if disk.f_bavail * disk.f_frsize < new + reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, 'posix_fallocate'):
            os.posix_fallocate(self._fd, start, length)
        self._allocated.add(view)


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Wait until no other process makes or drops files of a store.

    Args:
        folder (str): The store.
    """
    # Not '.lock', which is that of a work dir, and a store may be in one: to
    # close a file drops all POSIX locks that the process holds on it.
    with open(osp.join(folder, '.logits.lock'), 'a') as file:
        with without_locks(file.name):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_bytes(form: RowForm, num_views: int, num_samples: int) -> int:
    """Compute the size of a file in bytes.

    Args:
        form (RowForm): How a row is written.
        num_views (int): Number of views of a sample.
        num_samples (int): Length of the data set.
    """
    return HEADER + num_views * num_samples * (_TAG + form.num_bytes)


def read_header(path: str) -> Optional[Dict[str, Any]]:
    """Read the header of a file.

    Args:
        path (str): The file.

    Returns:
        dict, optional: ``depends_on``, ``classes``, ``num_samples``,
        ``row_bytes`` and ``info``; None if it is damaged.
    """
    with open(path, 'rb') as file:
        page = file.read(HEADER)
    try:
        magic, digest, text = page.decode().rstrip('\0').split('\n', 2)
        if magic != MAGIC or digest != _digest(text):
            return None
        return parse_json(text)
    except ValueError:
        return None


def _page(header: Dict[str, Any]) -> bytes:
    # What is there for people is left out if it is too long.
    for info in (header['info'], {}):
        text = json.dumps(dict(header, info=info), sort_keys=True, indent=1)
        page = f'{MAGIC}\n{_digest(text)}\n{text}'.encode()
        if len(page) <= HEADER:
            return page.ljust(HEADER, b'\0')
    raise OSError(
        errno.EFBIG, f'its header would have {len(page):,} bytes, '
        f'more than {HEADER:,}')


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    if written < len(data):
        # Writing the rest raises the reason; half a row does not count.
        _write_all(fd, data[written:], offset + written)
