# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import glob
import logging
import os.path as osp
from collections import deque
from typing import Any, ContextManager, Deque, Dict, Mapping, Optional, Tuple

import numpy as np
import torch
from mmengine.logging import print_log

from mmdgkd.structures.views import BatchViews
from mmdgkd.utils.config import hash_of
from .encoding import RowForm, check_form
from .logit_file import LogitFile
from .teacher_timer import TeacherTimer


class LogitStore:
    """Caches the logits of teachers for each view, in a folder.

    There is a file for each teacher and whatever else its logits depend on:
    its weights, its config and how it is run, the data set, the pipeline and
    the seed of the views, the normalization, the form of the rows. Logits that
    depend on anything else are in another file, so none is ever stale.

    :meth:`keep` returns what :meth:`lookup` will return: a training reaches
    the same bits whether the rows were cached or not.

    Args:
        store_dir (str): The folder; it is made when the first row is written.
        dtype (str): ``'float16'`` or ``'float32'``. Defaults to
            ``'float16'``.
        top_k (int, optional): Keep only the largest so many logits, see
            :class:`RowForm`. Defaults to None: all.
        others (str): What the other classes are read as, see
            :class:`RowForm`. Defaults to ``'even'``.

    Raises:
        ConfigError: As :func:`check_form`.
    """

    def __init__(self,
                 store_dir: str,
                 dtype: str = 'float16',
                 top_k: Optional[int] = None,
                 others: str = 'even') -> None:
        check_form(dtype, top_k, others)
        self.path = osp.abspath(store_dir)
        self.dtype = dtype
        self.top_k = top_k
        self.others = others
        self.counts: Dict[str, Dict[str, int]] = {}
        self._timer = TeacherTimer()
        self._files: Dict[Tuple, Optional[LogitFile]] = {}
        self._found: Dict[str, Tuple[np.ndarray, np.ndarray]] = {}
        self._unwritten: Deque[Tuple] = deque()
        self._writes = True

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
        self.flush()
        name = teacher['name']
        counts = self.counts.setdefault(name, dict(recalled=0, computed=0))
        self._found.pop(name, None)
        try:
            file = self._file(teacher, views)
            found = file and file.read(views.views, views.indices)
        except OSError as error:
            self._files[self._place(teacher, views)] = file = None
            self._give_up(error)
        if file is not None:
            rows, valid = found
            if valid.all():
                counts['recalled'] += len(rows)
                return file.form.decode(rows, device)
            self._found[name] = rows, valid
        counts['computed'] += len(views.indices)
        return None

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
        kept = form.rounded(logits)
        missing = np.ones(len(kept), bool)
        found = self._found.pop(teacher['name'], None)
        if found is not None and found[1].any():
            rows, valid = found
            missing = ~valid
            cached = torch.from_numpy(valid).to(kept.device)
            kept = torch.where(cached[:, None], form.decode(rows, kept.device),
                               kept)
        if self._writes:
            # Unrounded: rounding twice may differ from rounding once.
            fresh, event = logits.detach().float(), None
            if fresh.is_cuda:
                # Copied while the student computes.
                copy = torch.empty(fresh.shape, pin_memory=True)
                copy.copy_(fresh, non_blocking=True)
                event = torch.cuda.current_stream(fresh.device).record_event()
            else:
                copy = fresh.cpu()
            self._unwritten.append(
                (teacher, views, form, copy, missing, event))
            if event is None:
                self.flush()
        return kept

    def flush(self) -> None:
        """Write the rows that are not written yet.

        A row that cannot be written, or is not finite, is computed again where
        it is needed: the training goes on.
        """
        while self._unwritten:
            teacher, views, form, logits, missing, event = (
                self._unwritten.popleft())
            if event is not None:
                event.synchronize()
            # Spoiled images once must not spoil the cache for ever.
            missing = missing & torch.isfinite(logits).all(1).numpy()
            if not missing.any():
                continue
            try:
                file = self._file(teacher, views) or self._make(
                    teacher, views, form)
                file.write(views.views[missing], views.indices[missing],
                           form.encode(logits)[missing])
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Warn once why nothing more is stored; the run goes on."""
        self._unwritten.clear()
        if self._writes:
            self._writes = False
            print_log(
                f'chain.logit_store: {self.path!r}: '
                f'{error.strerror or error}; the run goes on without storing '
                'more logits',
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
        """Write the rest and close all files."""
        self.flush()
        for file in self._files.values():
            if file is not None:
                file.close()
        self._files.clear()

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

    def _file(self, teacher: Mapping[str, Any],
              views: BatchViews) -> Optional[LogitFile]:
        """The file, if there is one; the folder is searched once."""
        place = self._place(teacher, views)
        if place not in self._files:
            facts = self._facts(teacher, views)
            key = hash_of(facts)[:16]
            found = None
            # In another chain the same teacher may have another name.
            for path in sorted(
                    glob.glob(
                        osp.join(glob.escape(self.path), f'*-{key}.logits'))):
                found = found or LogitFile.open(path, facts)
            self._files[place] = found
        return self._files[place]

    def _make(self, teacher: Mapping[str, Any], views: BatchViews,
              form: RowForm) -> LogitFile:
        facts = self._facts(teacher, views)
        path = osp.join(self.path,
                        f'{teacher["name"]}-{hash_of(facts)[:16]}.logits')
        file = LogitFile.make(path, facts, form, views.source.num_samples,
                              self._info(teacher, views))
        if file.replaced:
            print_log(
                f'chain.logit_store: {path!r} is damaged; its logits are '
                'computed again',
                logger='current',
                level=logging.WARNING)
        self._files[self._place(teacher, views)] = file
        return file

    def _info(self, teacher: Mapping[str, Any],
              views: BatchViews) -> Dict[str, Any]:
        """For people, and to see later whether the teacher has changed."""
        info = dict(teacher=teacher['name'], views=views.source.summary)
        if teacher.get('path'):
            path = teacher['path']
            if '://' not in path:
                path = osp.abspath(path)
                info['beside'] = osp.relpath(path, self.path)
            info['path'] = path
        return info

    @staticmethod
    def _place(teacher: Mapping[str, Any], views: BatchViews) -> Tuple:
        return (views.source.key, *((key, str(item))
                                    for key, item in teacher.items()))
