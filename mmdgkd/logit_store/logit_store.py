# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
import os.path as osp
from typing import Any, ContextManager, Dict, Mapping, Optional, Tuple

import numpy as np
import torch
from mmengine.logging import print_log

from mmdgkd.fileio.object_folder import CACHE_BYTES, ObjectFolder
from mmdgkd.structures.views import BatchViews
from mmdgkd.utils.config import hash_of
from mmdgkd.utils.device import to_device
from .encoding import RowForm, check_form
from .teacher_timer import TeacherTimer
from .teacher_views import TeacherViews


class LogitStore:
    """Caches the logits of teachers for each view, in a folder.

    There is a folder for each teacher and whatever else its logits depend on:
    its weights, its config and how it is run, the data set, the pipeline and
    the seed of the views, the normalization, the form of the rows. Logits that
    depend on anything else are in another folder, so none is ever stale. In it
    are files of views, see :class:`Piece`, which never change: so no lock is
    needed, and the folder may be on any file system, or where fsspec reaches.

    A view is read at once and kept where the training is; the next one is read
    while it trains. New rows are kept there, too, until :meth:`flush`, or
    until another view begins: then each process writes those that it has
    computed as a file, and when the view is read again the first process makes
    one of several files.

    :meth:`keep` returns what :meth:`lookup` will return: a training reaches
    the same bits whether the rows were cached or not.

    Args:
        store_dir (str): The folder, or an address of fsspec; it is made when
            the first rows are written.
        dtype (str): ``'float16'`` or ``'float32'``. Defaults to
            ``'float16'``.
        top_k (int, optional): Keep only the largest so many logits, see
            :class:`RowForm`. Defaults to None: all.
        others (str): What the other classes are read as, see
            :class:`RowForm`. Defaults to ``'even'``.
        cache_dir (str, optional): See :class:`ObjectFolder`.
        cache_bytes (int): Likewise. Defaults to 10 GB.

    Attributes:
        counts (dict[str, dict]): Rows that were found, and that were not, by
            teacher.
        failure (str): Why nothing more is stored; empty as long as all is.

    Raises:
        ConfigError: As :func:`check_form` and :class:`ObjectFolder`.
    """

    def __init__(self,
                 store_dir: str,
                 dtype: str = 'float16',
                 top_k: Optional[int] = None,
                 others: str = 'even',
                 cache_dir: Optional[str] = None,
                 cache_bytes: int = CACHE_BYTES) -> None:
        check_form(dtype, top_k, others)
        self._files = ObjectFolder(
            store_dir,
            cache_dir,
            cache_bytes,
            key='chain.logit_store.store_dir')
        self.path = self._files.path
        self.dtype = dtype
        self.top_k = top_k
        self.others = others
        self.counts: Dict[str, Dict[str, int]] = {}
        self._timer = TeacherTimer()
        self._teachers: Dict[Tuple, TeacherViews] = {}
        self._found: Dict[str, Tuple[Optional[torch.Tensor], np.ndarray]] = {}
        self._writes = True
        self.failure = ''

    def __deepcopy__(self, memo: Dict) -> 'LogitStore':
        # Copies of the algorithm, such as EMAHook's, share it.
        return self

    def lookup(self, teacher: Mapping[str, Any], views: BatchViews,
               device: torch.device) -> Optional[torch.Tensor]:
        """Look up the logits of a teacher for a batch.

        Args:
            teacher (Mapping): ``name``, ``path`` of its file if it has one,
                and all that the logits depend on, plain data.
            views (BatchViews): The views of the batch.
            device (torch.device): Where the logits are needed.

        Returns:
            torch.Tensor, optional: float32 of shape (N, C); None unless all
            rows are cached.
        """
        name = teacher['name']
        counts = self.counts.setdefault(name, dict(recalled=0, computed=0))
        own = self._teacher(teacher, views)
        if not own.holds(views.views):
            self._flush(own, keep=False)
        try:
            found = own.take(views.views, views.indices, device)
        except OSError as error:
            self._give_up(error)
            own.give_up()
            found = own.take(views.views, views.indices, device)
        logits, valid = found
        if valid.all():
            self._found.pop(name, None)
            counts['recalled'] += len(valid)
            return logits
        self._found[name] = found
        counts['computed'] += len(valid)
        return None

    def is_full(self, view: int) -> bool:
        """Whether all rows of a view are cached, of all teachers so far.

        Args:
            view (int): Its number; one in use.
        """
        return all(each.is_full(view) for each in self._teachers.values())

    def keep(self, teacher: Mapping[str, Any], views: BatchViews,
             logits: torch.Tensor) -> torch.Tensor:
        """Cache the logits of a teacher for a batch, after :meth:`lookup`.

        Args:
            teacher (Mapping): See :meth:`lookup`.
            views (BatchViews): The views of the batch.
            logits (torch.Tensor): Shape (N, C).

        Returns:
            torch.Tensor: float32 of shape (N, C), the logits to train with:
            those that were cached already, the others rounded.
        """
        form = RowForm(logits.shape[1], self.dtype, self.top_k, self.others)
        rows = form.encode(logits)
        kept = form.decode(rows)
        missing = np.ones(len(kept), bool)
        cached, valid = self._found.pop(teacher['name'], (None, None))
        if cached is not None:
            missing = ~valid
            kept = torch.where(
                to_device(valid, kept.device)[:, None], cached, kept)
        if self._writes:
            finite = torch.isfinite(logits).all(1)
            if not missing.all():
                places = to_device(np.flatnonzero(missing), kept.device)
                rows, finite = rows.take(places), finite[places]
            self._teacher(teacher,
                          views).add(form, views.views[missing],
                                     views.indices[missing], rows, finite)
        return kept

    def flush(self) -> None:
        """Write the rows that are not written yet.

        A row that cannot be written, or is not finite, is computed again where
        it is needed: the training goes on.
        """
        for teacher in self._teachers.values():
            self._flush(teacher)

    def _flush(self, teacher: TeacherViews, keep: bool = True) -> None:
        try:
            teacher.flush(keep)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Warn once why nothing more is stored; the run goes on."""
        self._writes = False
        if not self.failure:
            self.failure = error.strerror or str(error)
            print_log(
                f'chain.logit_store: {self.path!r}: {self.failure}; the run '
                'goes on without storing more logits',
                logger='current',
                level=logging.WARNING)

    def timing(self, name: str, device: torch.device) -> ContextManager:
        """Measure the time of a teacher while it computes.

        Args:
            name (str): The teacher.
            device (torch.device): Where it computes.
        """
        return self._timer.timing(name, device)

    def summary(self) -> Dict[str, Dict[str, Any]]:
        """Count hits and misses by teacher, up to now.

        Returns:
            dict[str, dict]: ``recalled`` (hits) and ``computed`` (misses),
            numbers of rows, and ``seconds``, which the computing took; None
            where that is not known. Of this process, as far as the device has
            come: nothing is waited for.
        """
        seconds = self._timer.seconds
        return {
            name:
            dict(
                count,
                seconds=round(seconds[name], 3) if name in seconds else
                (None if count['computed'] else 0.0))
            for name, count in self.counts.items()
        }

    def close(self) -> None:
        """Write the rest and forget all views."""
        self.flush()
        self._teachers.clear()

    def _facts(self, teacher: Mapping[str, Any],
               views: BatchViews) -> Dict[str, Any]:
        facts = {
            key: item
            for key, item in teacher.items() if key not in ('name', 'path')
        }
        # The default is not named: older stores stay valid.
        others = {} if self.others == 'even' else dict(others=self.others)
        return dict(
            teacher=facts,
            views=views.source.key,
            dtype=self.dtype,
            top_k=self.top_k,
            **others)

    def _teacher(self, teacher: Mapping[str, Any],
                 views: BatchViews) -> TeacherViews:
        """Its views; the store is searched for them once."""
        place = (views.source.key, *((key, str(item))
                                     for key, item in teacher.items()))
        if place not in self._teachers:
            facts = self._facts(teacher, views)
            key = hash_of(facts)[:16]
            folder = f'{teacher["name"]}-{key}'
            try:
                # In another chain the same teacher may have another name.
                names = self._files.list()
            except OSError as error:
                names = []
                self._give_up(error)
            found = [name for name in names if name.endswith(f'-{key}')]
            self._teachers[place] = TeacherViews(self._files,
                                                 found[0] if found else folder,
                                                 facts,
                                                 self._info(teacher, views),
                                                 views.source.num_samples,
                                                 self._writes)
        return self._teachers[place]

    def _info(self, teacher: Mapping[str, Any],
              views: BatchViews) -> Dict[str, Any]:
        """For people, and to see later whether the teacher has changed."""
        info = dict(teacher=teacher['name'], views=views.source.summary)
        path = teacher.get('path')
        if path:
            if '://' not in path:
                path = osp.abspath(path)
                if self._files.is_local:
                    info['beside'] = osp.relpath(path, self.path)
            info['path'] = path
        return info
