# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from typing import Any, Dict, List, Optional, Sequence, Set

import numpy as np
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import reason_of
from .splits import ImageSet, held_out, image_set_of, images_of
from .view_dataset import UNREADABLE


@DATASETS.register_module()
class HeldOut(Dataset):
    """The samples of a data set that are held out of all trainings.

    Those that a :class:`ViewDataset` with the same ``holdout`` and ``seed`` in
    its ``split`` leaves out.

    Args:
        dataset (dict | Dataset): The training data, or its config, with the
            pipeline of the validation.
        holdout (int): How many are held out.
        seed (int): Seed of their choice. Defaults to 0.
        lazy_init (bool): Whether to load the data set later.
            Defaults to False.
        skip_unreadable (bool): Whether the next of them takes the place of one
            that cannot be read, with a warning, as in a :class:`ViewDataset`.
            Defaults to False: that is an error.

    Attributes:
        indices (np.ndarray): The indices of its samples in the data set,
            int64, ascending; none before it is loaded.
        image_set (ImageSet, optional): Of which images the split is; None
            before it is loaded.

    Raises:
        ConfigError: If ``holdout`` is no positive integer, or if the data set
            has no more samples than that.
    """

    def __init__(self,
                 dataset: Any,
                 holdout: int,
                 seed: int = 0,
                 lazy_init: bool = False,
                 skip_unreadable: bool = False) -> None:
        if type(holdout) is not int or holdout < 1:
            raise ConfigError(f'HeldOut.holdout: {holdout!r} must be an '
                              'integer, 1 or more')
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        self.dataset = dataset
        self.holdout = holdout
        self.seed = seed
        self.skip_unreadable = skip_unreadable
        self._unreadable: Set[int] = set()
        self.indices = np.empty(0, np.int64)
        self.image_set: Optional[ImageSet] = None
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load the data set and choose the samples."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        images = images_of(self.dataset)
        self.image_set = image_set_of(self.dataset, images)
        count = self.image_set.count
        if count <= self.holdout:
            raise ConfigError(f'chain.holdout: {self.holdout} of {count} '
                              'training images leaves none to train on')
        out = held_out(count, self.holdout, self.seed)
        # Of an image that is repeated the first sample.
        numbers, first = np.unique(images, return_index=True)
        self.indices = np.sort(first[np.isin(numbers, out)])

    @property
    def metainfo(self) -> Dict:
        """That of the data set."""
        return self.dataset.metainfo

    def __getattr__(self, name: str) -> Any:
        # Nothing is there yet while it is copied or unpickled.
        if name.startswith('__') and name != '__getitems__' or (
                'dataset' not in vars(self)):
            raise AttributeError(f'{type(self).__name__} has no {name}')
        if name == '__getitems__':
            # Only of a data set that has whole batches.
            get = getattr(self.dataset, name)
            return lambda places: get(self._indices_of(places))
        return getattr(self.dataset, name)

    def _indices_of(self, places: Sequence[int]) -> List[int]:
        return self.indices[list(places)].tolist()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Dict:
        place = at = int(self.indices[index])
        while True:
            try:
                data = self.dataset[at]
                break
            except UNREADABLE as error:
                if not self.skip_unreadable:
                    raise
                self._note_unreadable(at, error)
                index = (index + 1) % len(self)
                at = int(self.indices[index])
        if isinstance(data.get('data_samples'), BaseDataElement):
            # A wrapper leaves that of the data set inside, perhaps twice. The
            # same image takes the place of one that cannot be read each time.
            data['data_samples'].set_metainfo(dict(sample_idx=place))
        return data

    def _note_unreadable(self, place: int, error: Exception) -> None:
        if place in self._unreadable:
            return
        self._unreadable.add(place)
        if len(self._unreadable) == len(self):
            raise ConfigError('chain.holdout: none of the '
                              f'{len(self)} images can be read ({error})')
        print_log(
            f'chain.holdout: sample {place} cannot be read '
            f'({reason_of(error)}); the next one takes its place',
            logger='current',
            level=logging.WARNING)

    def place_of(self, sample_idx: int) -> int:
        """The place of a sample among those that are held out.

        Args:
            sample_idx (int): Its index in the data set, which its meta has.

        Raises:
            IndexError: If it is not held out.
        """
        if sample_idx not in self.indices:
            raise IndexError(f'{sample_idx} is not held out')
        return int(np.searchsorted(self.indices, sample_idx))

    def get_data_info(self, index: int) -> Dict:
        """Get the data of a sample before the pipeline.

        Args:
            index (int): Its place among those that are held out.
        """
        return self.dataset.get_data_info(int(self.indices[index]))

    def get_cat_ids(self, index: int) -> List[int]:
        """Get the classes of a sample.

        Args:
            index (int): Its place among those that are held out.
        """
        return self.dataset.get_cat_ids(int(self.indices[index]))
