# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The views of one teacher, in a folder of a store."""
import contextlib
import logging
import os
import threading
from concurrent.futures import Future
from typing import (Any, Callable, Dict, List, Mapping, NamedTuple, Optional,
                    Tuple)

import numpy as np
import torch
from mmengine.logging import print_log

from mmdgkd.fileio.checked_names import DamagedFile
from mmdgkd.fileio.object_folder import ObjectFolder
from mmdgkd.utils.device import to_device
from .encoding import RowForm, Rows
from .piece import SUFFIX, Piece, merged, parse_name, stem_of, unpack
from .view import View

# Others may merge the files of a view while it is read.
_TRIES = 20


def _numbers(views: np.ndarray) -> List[int]:
    """The different ones; of a batch there is nearly always one."""
    if len(views) and (views == views[0]).all():
        return [int(views[0])]
    return np.unique(views).tolist()


def _in_thread(function: Callable, *args: Any) -> Future:
    """Call a function; a process that ends does not wait for it."""
    future: Future = Future()

    def call() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


class _Ahead(NamedTuple):
    """A view that is being read."""

    view: int
    names: Tuple[str, ...]
    pieces: Future


class TeacherViews:
    """Reads the views of a teacher as they come, and writes new rows.

    Args:
        files (ObjectFolder): The store.
        folder (str): Its folder of the teacher.
        facts (Mapping): What the rows depend on, plain data.
        info (Mapping): What else is in the header of a file, plain data.
        num_samples (int): Length of the data set.
        merges (bool): Whether several files of a view become one, and damaged
            ones are removed. Defaults to True.
    """

    def __init__(self,
                 files: ObjectFolder,
                 folder: str,
                 facts: Mapping[str, Any],
                 info: Mapping[str, Any],
                 num_samples: int,
                 merges: bool = True) -> None:
        self._files: Optional[ObjectFolder] = files
        self._folder = folder
        self._facts = dict(facts)
        self._info = dict(info)
        self._num_samples = num_samples
        # The first process of a machine, which may have a folder of its own.
        self._merges = merges and os.environ.get('LOCAL_RANK', '0') == '0'
        self._views: Dict[int, View] = {}
        self._ahead: Optional[_Ahead] = None

    def holds(self, views: np.ndarray) -> bool:
        """Whether all views of a batch are in memory.

        Args:
            views (np.ndarray): Their numbers, int64 of shape (N, ).
        """
        return all(view in self._views for view in _numbers(views))

    def is_full(self, view: int) -> bool:
        """Whether a view that is in memory was cached for all samples.

        Args:
            view (int): Its number.
        """
        return view in self._views and self._views[view].is_full

    def take(
            self, views: np.ndarray, indices: np.ndarray,
            device: torch.device) -> Tuple[Optional[torch.Tensor], np.ndarray]:
        """The logits of a batch, as far as they are cached.

        Args:
            views (np.ndarray): Number of each view, int64 of shape (N, ).
            indices (np.ndarray): Index of each sample, likewise.
            device (torch.device): Where the logits are needed.

        Returns:
            tuple[torch.Tensor, np.ndarray]: float32 of shape (N, C), and
            which are valid, bool of shape (N, ); None for the logits if none
            is.

        Raises:
            OSError: If a view cannot be read.
        """
        numbers = _numbers(views)
        if len(numbers) == 1:
            return self._take(numbers[0], indices, device)
        order, found, valid = [], [], np.zeros(len(views), bool)
        for number in numbers:
            own = np.flatnonzero(views == number)
            part, valid[own] = self._take(number, indices[own], device)
            if part is not None:
                order.append(own)
                found.append(part)
        if not found:
            return None, valid
        logits = found[0].new_zeros(len(views), found[0].shape[1])
        for own, part in zip(order, found):
            logits[to_device(own, device)] = part
        return logits, valid

    def _take(
            self, number: int, indices: np.ndarray,
            device: torch.device) -> Tuple[Optional[torch.Tensor], np.ndarray]:
        """:meth:`take` of one view."""
        view = self._views.get(number)
        if view is None:
            view = self._views[number] = self._load(number)
        rows, valid = view.take(indices, device)
        return None if rows is None else view.form.decode(rows), valid

    def add(self, form: RowForm, views: np.ndarray, indices: np.ndarray,
            rows: Rows, finite: torch.Tensor) -> None:
        """Add rows that were missing, after :meth:`take`.

        Args:
            form (RowForm): Their format.
            views (np.ndarray): Number of each view, int64 of shape (N, ).
            indices (np.ndarray): Index of each sample, likewise.
            rows (Rows): The rows.
            finite (torch.Tensor): Which of them to keep, bool of shape (N, ).
        """
        for number in _numbers(views):
            own = np.flatnonzero(views == number)
            places = to_device(own, finite.device)
            self._views[number].add(form, indices[own], rows.take(places),
                                    finite[places])

    def flush(self, keep: bool = True) -> None:
        """Write new rows, and forget views that others may add to.

        Args:
            keep (bool): Whether to keep views in which nothing was missing.
                Defaults to True.

        Raises:
            OSError: If they cannot be written.
        """
        views, self._views = self._views, {}
        for number, view in views.items():
            new = view.new()
            if new is not None and self._files is not None:
                header = dict(
                    depends_on=self._facts,
                    classes=view.form.classes,
                    num_samples=self._num_samples,
                    view=number,
                    info=self._info)
                self._write(Piece(header, *new))
            elif keep and view.was_enough:
                self._views[number] = view

    def give_up(self) -> None:
        """Neither read nor write any more."""
        self._files = None
        self._views.clear()

    def _load(self, number: int) -> View:
        if self._files is None:
            return View(self._num_samples)
        for _ in range(_TRIES):
            names = self._names()
            own = tuple(names.get(number, ()))
            try:
                pieces = self._read_ahead(number, own) or self._read(own)
            except FileNotFoundError:
                continue
            break
        else:
            raise OSError(f'the files of view {number} in {self._folder} '
                          'vanish while they are read')
        for name in set(own) - set(pieces):
            print_log(
                f'chain.logit_store: {self._folder}/{name} is damaged; its '
                'logits are computed again',
                logger='current',
                level=logging.WARNING)
        if self._merges:
            with contextlib.suppress(OSError):  # such as of a read-only store
                self._merge(own, pieces)
        self._start_reading(number, names)
        if not pieces:
            return View(self._num_samples)
        return View(self._num_samples, merged([*pieces.values()]))

    def _merge(self, names: Tuple[str, ...], pieces: Dict[str, Piece]) -> None:
        """Make one file of several; remove damaged ones."""
        for name in set(names) - set(pieces):
            self._files.remove(f'{self._folder}/{name}')
        if len(pieces) > 1:
            kept = {self._write(merged([*pieces.values()]))}
            for name in set(pieces) - kept:
                self._files.remove(f'{self._folder}/{name}')

    def _names(self) -> Dict[int, List[str]]:
        """The files by view."""
        found: Dict[int, List[str]] = {}
        for name in self._files.list(self._folder):
            parsed = parse_name(name)
            if parsed is not None:
                found.setdefault(parsed.view, []).append(name)
        return found

    def _read(self, names: Tuple[str, ...]) -> Dict[str, Piece]:
        """Read files, those left out that are damaged."""
        pieces = {}
        for name in names:
            try:
                piece = unpack(self._files.read(f'{self._folder}/{name}'))
            except DamagedFile:
                continue
            if piece is not None and piece.header['depends_on'] == self._facts:
                pieces[name] = piece
        return pieces

    def _write(self, piece: Piece) -> str:
        name = self._files.write(f'{self._folder}/{stem_of(piece)}', SUFFIX,
                                 piece.pack())
        return name.removeprefix(f'{self._folder}/')

    def _start_reading(self, number: int, names: Mapping[int,
                                                         List[str]]) -> None:
        """Read the view that comes next, which may be the first again."""
        others = sorted(set(names) - {number})
        later = [other for other in others if other > number]
        # A run that fills a store has seen those before.
        later = later or (others if number in names else [])
        if later and later[0] not in self._views:
            own = tuple(names[later[0]])
            self._ahead = _Ahead(later[0], own, _in_thread(self._read, own))

    def _read_ahead(self, number: int,
                    names: Tuple[str, ...]) -> Optional[Dict[str, Piece]]:
        """What has been read of a view, unless there is more by now."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or (ahead.view, ahead.names) != (number, names):
            return None
        return ahead.pieces.result()
