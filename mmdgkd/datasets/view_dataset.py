# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import functools
import logging
import os
import random
from importlib import metadata
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import plain
from mmdgkd.structures.image_batch import ImageBatch
from mmdgkd.structures.views import BatchViews, ViewSource
from mmdgkd.utils.config import hash_of, reason_of
from mmdgkd.utils.random import aside, seed_all, states, view_seed
from .generators import code_of, find_generators, seed_generators
from .identity import (FILE_KEYS, content_key, files_key, parts_of,
                       pipeline_of, texts_in)
from .mixing import Mixing
from .splits import ImageSet, Split, image_set_of, images_of

# An index alone means epoch 0.
Item = Union[int, Tuple[int, int]]
_PROBED = 4
# What loading an image raises; MMCV asserts that a file could be decoded.
UNREADABLE = (AssertionError, OSError)
# Increase it when the same seed gives other views.
_VERSION = 1
# The packages of the transforms: a new version may make other images.
_MAKERS = ('mmcv', 'mmpretrain', 'torchvision', 'opencv-python', 'pillow',
           'numpy')


@DATASETS.register_module()
class ViewDataset(Dataset):
    """Makes the augmentation of any data set a function of its arguments.

    The view of sample i in epoch e depends on (seed, e, i) alone: it is the
    same in a resumed run, in another stage of a chain, in any worker process,
    on any rank. The epoch comes from a :class:`ViewSampler`, which yields
    (epoch, index). Before each sample the generators of Python, NumPy and
    PyTorch are seeded from the three numbers, and so are those that a
    transform holds itself, so transforms need no change.

    The meta of each sample has ``view``, ``sample_idx`` and ``view_source``
    (:class:`ViewSource`). A pipeline that draws nothing has one view, unless
    ``num_views`` or ``mix`` is given.

    Args:
        dataset (dict | Dataset): The data set, or its config.
        seed (int): Seed of the views; it need not be that of the training.
            Defaults to 0.
        num_views (int, optional): Number of views of a sample, after which
            they repeat. Defaults to None: a new one in each epoch.
        lazy_init (bool): Whether to load the data set later.
            Defaults to False.
        file_key (str): What tells in the source of the views that an image
            file has changed under its name: ``'stat'``, its size and time of
            change, or ``'content'``, for which all files are read.
            Defaults to ``'stat'``.
        skip_unreadable (bool): Whether the next image takes the place of one
            that cannot be read, with a warning that counts them.
            Defaults to False: that is an error.
        mix (dict, optional): ``augments``, ``probs`` and ``num_classes`` of
            :class:`Mixing`: a view is then mixed with that of another sample
            and has soft labels, ``gt_score``. Defaults to None: it is not.
        split (dict, optional): Which samples a :class:`ViewSampler` leaves
            out, see :class:`Split`. The indices of the others stay what they
            are. Defaults to None: none.

    Attributes:
        chosen (np.ndarray, optional): The indices of the samples that are not
            left out, int64, ascending; None: all.
        image_set (ImageSet, optional): Of which images they are; None without
            a split.

    Raises:
        ConfigError: If ``num_views`` is no positive integer, for an unknown
            ``file_key``, a wrong ``mix`` or ``split``, or if a transform draws
            from what cannot be seeded.
    """

    def __init__(self,
                 dataset: Any,
                 seed: int = 0,
                 num_views: Optional[int] = None,
                 lazy_init: bool = False,
                 file_key: str = 'stat',
                 skip_unreadable: bool = False,
                 mix: Optional[Dict] = None,
                 split: Optional[Dict] = None) -> None:
        if file_key not in FILE_KEYS:
            raise ConfigError(f'ViewDataset.file_key: {file_key!r} is none of '
                              f'{", ".join(FILE_KEYS)}')
        if num_views is not None and not (isinstance(num_views, int)
                                          and num_views > 0):
            raise ConfigError(f'ViewDataset.num_views: {num_views!r} must be '
                              'an integer, 1 or more, or None')
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if _has_views(dataset):
            raise ConfigError(
                'train_dataloader.dataset: there is a ViewDataset inside of a '
                'ViewDataset; leave the inner one out')
        self.dataset = dataset
        self.seed = seed
        self.max_views = num_views
        self.file_key = file_key
        self.skip_unreadable = skip_unreadable
        self.mixing = None if mix is None else Mixing.from_cfg(mix)
        self.split = Split.from_cfg(split, 'ViewDataset.split')
        self.chosen: Optional[np.ndarray] = None
        self.image_set: Optional[ImageSet] = None
        self._unreadable: Set[int] = set()
        self._facts: Dict[str, Any] = {}
        # The process, and the generators that its transforms hold.
        self._generators: Tuple[int, List] = (0, [])
        self._metainfo = dataset.metainfo
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load the data set and find out whether its pipeline draws."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
            self._metainfo = self.dataset.metainfo
        if 'content' not in self._facts:
            self._facts['content'] = content_key(self.dataset, self.file_key)
        if self.split.is_given and self.image_set is None:
            images = images_of(self.dataset)
            chosen = self.split.indices(images)
            self.chosen = chosen if self.split.facts else None
            self.image_set = image_set_of(self.dataset, images)
        if self.mixing is not None:
            self.mixing.learn_classes(self._metainfo.get('classes'))
            self.mixing.keep_to(self.chosen)
        self._look_at_pipeline()

    def __getstate__(self) -> Dict:
        # Another process finds its own: those of a module are not copied.
        return dict(self.__dict__, _generators=(0, []))

    @property
    def metainfo(self) -> Dict:
        """That of the data set, in plain types, since checkpoints have it."""
        return plain(self._metainfo)

    @property
    def num_views(self) -> Optional[int]:
        """Number of views of a sample, None for a new one in each epoch."""
        self._look_at_pipeline()
        return self.max_views if self._facts['random'] else 1

    @property
    def source(self) -> ViewSource:
        """The data set, pipeline and seed of the views."""
        self._look_at_pipeline()
        return self._facts['source']

    @property
    def pipeline(self) -> Any:
        """That of the data set. A hook that sets it sets it there."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        """Look up what is unknown here in the data set: hooks need it.

        Such as ``CLASSES``, ``class_to_idx`` and ``get_gt_labels``.
        """
        # Nothing is there yet while it is copied or unpickled.
        if name.startswith('__') or 'dataset' not in vars(self):
            raise AttributeError(f'{type(self).__name__} has no {name}')
        return getattr(self.dataset, name)

    def view_of(self, epoch: int) -> int:
        """Get the number of the view of an epoch.

        Args:
            epoch (int): The epoch, counted from 0.
        """
        return epoch % self.num_views if self.num_views else epoch

    def partners_in(self, epoch: int) -> Optional[np.ndarray]:
        """Get the samples with which those of an epoch are mixed.

        Args:
            epoch (int): The epoch, counted from 0.

        Returns:
            np.ndarray, optional: By index, int64; None if none is mixed.
        """
        return self.mixing and self.mixing.partners(
            self.seed, self.view_of(epoch), len(self))

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, idx: int) -> Dict:
        """Get the data of a sample before the pipeline.

        Args:
            idx (int): The index.
        """
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> List[int]:
        """Get the classes of a sample.

        Args:
            idx (int): The index.
        """
        return self.dataset.get_cat_ids(idx)

    def __getitem__(self, item: Item) -> Dict:
        """Get one view.

        Args:
            item (int | tuple[int, int]): (epoch, index); an index alone is
                in epoch 0.
        """
        epoch, index = item if isinstance(item, tuple) else (0, item)
        with aside():
            return self._views([(self.view_of(epoch), int(index))])[0]

    def __getitems__(self, items: Sequence[Item]) -> List[Dict]:
        """Get all views of a batch; called by PyTorch's data loader.

        Args:
            items (Sequence[int | tuple[int, int]]): See :meth:`__getitem__`.

        Returns:
            list[dict]: The samples; of a batched data set a single one, which
            holds them all.
        """
        num_views = self.num_views
        pairs = [
            item if isinstance(item, tuple) else (0, item) for item in items
        ]
        pairs = [(epoch % num_views if num_views else epoch, int(index))
                 for epoch, index in pairs]
        if not hasattr(self.dataset, 'get_batch'):
            with aside():
                return self._views(pairs)
        views, indices = torch.tensor(pairs).T.contiguous().numpy()
        batch = self._batch(views, indices)
        batch.views = BatchViews(self.source, views, indices)
        if self.mixing is not None:
            mixes = self.mixing.draw(self.seed, views, indices, len(self),
                                     batch.size)
            batch.mixes = mixes
            batch.views = batch.views._replace(partners=mixes.partners)
            batch.others = self._batch(views, mixes.partners)
            batch.scores = mixes.scores(
                self.mixing.one_hot(batch.labels),
                self.mixing.one_hot(batch.others.labels))
        return [dict(inputs=batch.images, data_samples=batch)]

    def _batch(self, views: np.ndarray, indices: np.ndarray) -> ImageBatch:
        seeds = [
            view_seed(self.seed, int(view), int(index))
            for view, index in zip(views, indices)
        ] if self._facts['random'] else []
        return self.dataset.get_batch(indices, seeds)

    def _views(self, pairs: Sequence[Tuple[int, int]]) -> List[Dict]:
        samples = [self._view(*pair) for pair in pairs]
        if self.mixing is None:
            return samples
        self.mixing.mix(samples, self.seed, len(self), self._view)
        return samples

    def _view(self, view: int, index: int) -> Dict:
        while True:
            try:
                return self._view_at(view, index)
            except UNREADABLE as error:
                if not self.skip_unreadable:
                    raise
                self._note_unreadable(index, error)
                index = self._after(index)

    def _view_at(self, view: int, index: int) -> Dict:
        draws = self._facts['random']
        self._seed(view_seed(self.seed, view, index) if draws else 0)
        sample = self.dataset[index]
        if not draws and _next_draws() != _first_draws():
            raise ConfigError(
                'train_dataloader.dataset.pipeline: draws for sample '
                f'{index}, but not for the first samples; set the number of '
                'views, chain.views=dict(num_views=...)')
        if not (isinstance(sample, dict) and 'data_samples' in sample):
            raise ConfigError(
                'train_dataloader.dataset.pipeline: returns no data sample; '
                "end it with type='PackInputs'")
        sample['data_samples'].set_metainfo(
            dict(view=view, sample_idx=index, view_source=self.source))
        return sample

    def _after(self, index: int) -> int:
        """The sample after one, of those that are not left out."""
        if self.chosen is None:
            return (index + 1) % len(self)
        place = np.searchsorted(self.chosen, index, side='right')
        return int(self.chosen[place % len(self.chosen)])

    def _note_unreadable(self, index: int, error: Exception) -> None:
        if index in self._unreadable:
            return
        self._unreadable.add(index)
        total = len(self) if self.chosen is None else len(self.chosen)
        if len(self._unreadable) == total:
            raise ConfigError('train_dataloader.dataset: none of its '
                              f'{total} images can be read ({error})')
        print_log(
            f'train_dataloader.dataset: sample {index} cannot be read '
            f'({reason_of(error)}); the next one takes its place, '
            f'{len(self._unreadable)} so far in process {os.getpid()}',
            logger='current',
            level=logging.WARNING)

    def _seed(self, seed: int) -> None:
        """Seed all generators that a transform may draw from."""
        seed_all(seed)
        if self._generators[0] != os.getpid():
            # A worker process may have other objects.
            self._generators = os.getpid(), find_generators(self.dataset)
        seed_generators(self._generators[1], seed)

    def _look_at_pipeline(self) -> None:
        """Find out whether it draws; again if a hook has replaced it."""
        now = _pipelines(self.dataset)
        if [id(part) for part in now
            ] == [id(part) for part in self._facts.get('pipelines', ())]:
            return
        if 'content' not in self._facts:
            self.full_init()
            return
        described = pipeline_of(self.dataset)
        self._generators = os.getpid(), find_generators(self.dataset)
        # Already here: the probed samples carry the source, too.
        self._facts.update(pipelines=now, random=True, source=None)
        self._facts['random'] = self._draws()
        facts = dict(
            version=_VERSION,
            made_by={name: _version_of(name)
                     for name in _MAKERS},
            content=self._facts['content'],
            pipeline=described,
            seed=self.seed if self._facts['random'] else None)
        # Not where there are none: older stores stay valid.
        files = files_key(texts_in(described), self.file_key)
        if files is not None:
            facts['files'] = files
        code = code_of(self.dataset)
        if code:
            facts['code'] = hash_of(code)
        if self._generators[1]:
            facts['generators'] = [path for path, _ in self._generators[1]]
        summary = f'{type(self.dataset).__name__}, {len(self):,} samples, ' + (
            f'view seed {self.seed}'
            if self._facts['random'] else 'no randomness')
        if self.mixing is not None:
            # Partners are drawn among those that are not left out.
            facts['mix'] = {**self.mixing.facts, **self.split.facts}
            summary += f', mixed by {self.mixing.summary}'
        self._facts['source'] = ViewSource(hash_of(facts), len(self), summary)

    def _draws(self) -> bool:
        """Whether the pipeline draws anything, probed on some samples."""
        num = min(_PROBED, len(self))
        draws = False
        with aside():
            for index in sorted({i * len(self) // num for i in range(num)}):
                first, second = None, None
                for _ in range(2):
                    self._seed(view_seed(self.seed, 0, index))
                    before = states()
                    with contextlib.suppress(
                            *UNREADABLE if self.skip_unreadable else ()):
                        first, second = second, self.dataset[index]
                    draws = draws or states() != before
                if not _same(first, second):
                    raise ConfigError(
                        'train_dataloader.dataset.pipeline: returns another '
                        f'image of sample {index} each time, from the same '
                        'seed of Python, NumPy and PyTorch; a transform that '
                        'draws from something else cannot be repeated;'
                        ' remove it, or set chain.views=None and '
                        'chain.logit_store=None')
        # A generator of a transform may draw for few images, and num_views
        # overrides what was probed.
        return (draws or bool(self._generators[1])
                or self.max_views is not None or self.mixing is not None)


def _next_draws() -> Tuple[float, ...]:
    return random.random(), np.random.random_sample(), float(torch.rand(()))


@functools.lru_cache(maxsize=None)
def _first_draws() -> Tuple[float, ...]:
    with aside():
        seed_all(0)
        return _next_draws()


def _has_views(dataset: Any) -> bool:
    return isinstance(dataset, ViewDataset) or any(
        map(_has_views, parts_of(dataset)))


def _version_of(name: str) -> str:
    for each in (name, f'{name}-lite', f'{name}-headless', f'onedl-{name}'):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(each)
    return ''


def _pipelines(dataset: Any) -> List[Any]:
    found = [getattr(dataset, 'pipeline', None)]
    for part in parts_of(dataset):
        found += _pipelines(part)
    return found


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        first, second = first.get('inputs'), second.get('inputs')
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    return True
