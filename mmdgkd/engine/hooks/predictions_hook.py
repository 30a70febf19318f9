# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from itertools import zip_longest
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook

from mmdgkd.engine.loops.position import progress_of
from mmdgkd.fileio.predictions import Predictions
from mmdgkd.utils.config import hash_of, reason_of

_SEVERAL = 'its images have several labels each'
_NO_SCORES = 'its validation gives no scores of classes'
# Index, class, predicted class, and the probabilities of both.
_COLUMNS = 5


class PredictionsHook(Hook):
    """Keeps the predictions of a test, or of the last validation.

    They are outputs that are there already: no image is read for them, and
    nothing is drawn. A chain adds it to each stage.

    Attributes:
        found (Predictions, optional): What was found, on the first rank; None
            where nothing was validated. ``weights`` is left empty.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.found: Optional[Predictions] = None
        self._rows: Optional[List[np.ndarray]] = None
        self._note = ''

    def before_val_epoch(self, runner: Any) -> None:
        """Begin, if this is the last validation of a training."""
        # A Runner that only validates has built no training loop.
        if getattr(runner, '_train_loop', None) is not None:
            _, step, total = progress_of(runner)
            if step < total:
                self._rows = None
                return
        self.before_test_epoch(runner)

    def before_test_epoch(self, runner: Any) -> None:
        """Begin."""
        self._rows, self._note = [], ''

    def after_val_iter(self,
                       runner: Any,
                       batch_idx: int,
                       data_batch: Any = None,
                       outputs: Optional[Sequence] = None) -> None:
        """Read the outputs of a batch."""
        if self._rows is None or self._note:
            return
        samples = outputs if isinstance(outputs, (list, tuple)) else []
        # No training ends for what only reports read.
        try:
            self._note = _obstacle(samples)
            if not self._note:
                self._rows.append(_rows_of(samples))
        except Exception as error:
            self._note = _unreadable(error)

    def after_test_iter(self,
                        runner: Any,
                        batch_idx: int,
                        data_batch: Any = None,
                        outputs: Optional[Sequence] = None) -> None:
        """Read the outputs of a batch."""
        self.after_val_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Put the outputs of all ranks together."""
        self._finish(runner, 'val_dataloader')

    def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Put the outputs of all ranks together."""
        self._finish(runner, 'test_dataloader')

    def _finish(self, runner: Any, key: str) -> None:
        if self._rows is None:
            return
        rows = np.concatenate([np.empty((0, _COLUMNS)), *self._rows])
        mine = (self._note, rows)
        parts = all_gather_object(mine) if get_world_size() > 1 else [mine]
        self._rows = None
        note = max(note for note, _ in parts)
        try:
            self.found = _together(runner, key, [part for _, part in parts],
                                   note)
        except Exception as error:
            self.found = _together(runner, key, [], _unreadable(error))


def _together(runner: Any, key: str, parts: Sequence[np.ndarray],
              note: str) -> Predictions:
    """The predictions of all ranks; none where a note says why."""
    dataset = getattr(runner, key).dataset
    rows = np.empty((0, _COLUMNS)) if note else _in_order(parts, len(dataset))
    integers = np.int32 if rows.max(initial=0) > 2**15 - 1 else np.int16
    # Perhaps an array, which is neither true nor false.
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    classes = [] if names is None else [str(name) for name in names]
    return Predictions(
        indices=rows[:, 0].astype(np.int32),
        labels=rows[:, 1].astype(integers),
        preds=rows[:, 2].astype(integers),
        label_scores=rows[:, 3].astype(np.float16),
        pred_scores=rows[:, 4].astype(np.float16),
        classes=np.array(classes, dtype='U'),
        data=data_key((runner.cfg.get(key) or {}).get('dataset')),
        note=note)


def _unreadable(error: Exception) -> str:
    return f'its outputs cannot be read ({reason_of(error)})'


def data_key(dataset: Any) -> str:
    """A hash of the config of a data set, wherever its files are.

    Args:
        dataset (dict | Any): The config.
    """

    def without_roots(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: without_roots(item)
                for key, item in value.items() if key != 'data_root'
            }
        if isinstance(value, (list, tuple)):
            return [without_roots(item) for item in value]
        return value

    return hash_of(without_roots(dataset))


def _obstacle(samples: Sequence) -> str:
    """Why outputs are not those of a classifier of one label; else ''."""
    for sample in samples or [None]:
        if any(
                getattr(sample, key, None) is None
                for key in ('gt_label', 'pred_label', 'pred_score')):
            return _NO_SCORES
        if sample.gt_label.numel() != 1 or sample.pred_label.numel() != 1:
            return _SEVERAL
    return ''


def _rows_of(samples: Sequence) -> np.ndarray:
    # On the CPU: on a GPU a wrong label would end the process.
    scores = torch.stack([sample.pred_score for sample in samples]).float()
    scores = scores.cpu()
    columns = [scores.new_tensor([_index_of(one) for one in samples]).double()]
    chosen = [
        torch.stack([sample.get(key).reshape(()) for sample in samples]).cpu()
        for key in ('gt_label', 'pred_label')
    ]
    columns += [label.double() for label in chosen]
    for label in chosen:
        columns.append(scores.gather(1, label[:, None])[:, 0].double())
    return torch.stack(columns, 1).numpy()


def _index_of(sample: Any) -> int:
    return int(sample.metainfo.get('sample_idx', -1))


def _in_order(parts: Sequence[np.ndarray], size: int) -> np.ndarray:
    """The rows of all ranks by the index in the data set, each once.

    Where samples do not have indices of their own they are in the order of
    MMEngine's sampler, which deals them out to the ranks in turn.
    """
    rows = np.concatenate(parts)
    indices, first = np.unique(rows[:, 0], return_index=True)
    # The sampler fills up the last round.
    if len(rows) - len(first) < len(parts) and indices.min(initial=0) >= 0:
        return rows[first]
    dealt = [
        row for turn in zip_longest(*parts) for row in turn if row is not None
    ]
    rows = np.array(dealt[:size])
    rows[:, 0] = np.arange(len(rows))
    return rows
