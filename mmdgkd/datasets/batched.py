# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Data sets that stay in memory and return whole batches."""
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.datasets.transforms import PackInputs, RandomCrop
from mmpretrain.registry import DATASETS

from mmdgkd.errors import ConfigError
from mmdgkd.structures.image_batch import ImageBatch
from .chosen_classes import ChosenClasses
from .digits import Digits
from .identity import files_key
from .svhn import SVHN

_KNOWN = ('RandomCrop (padding_mode constant), RandomFlip (horizontal) and '
          'PackInputs, in this order')

# Files that had their checksums in this process.
_INTACT: Set[Tuple] = set()


class BatchedImages(ChosenClasses):
    """Mixin of a data set of small images: whole batches at once.

    A Python pipeline makes some 10,000 images a second; a small student trains
    faster. Here the pipeline is read, not run: this class draws as its
    transforms draw, and a :class:`BatchedDataPreprocessor` crops, mirrors and
    normalizes the whole batch on the device of the training. The views are
    bitwise the same as those of the pipeline.

    The data loader needs ``collate_fn=dict(type='pseudo_collate')``. Without a
    :class:`ViewDataset` around it (a chain adds one for training) the draws
    come from NumPy's global generator.
    """

    # The type with the same images one by one, in a network's file.
    plain = ''
    # A record has an image and a class.
    records_name_files = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._images: Optional[torch.Tensor] = None
        self._labels: Optional[torch.Tensor] = None
        self._read: Tuple = (None, None, None)
        super().__init__(*args, **kwargs)
        self._draws()

    def __getitems__(self, indices: Sequence[int]) -> List[Dict]:
        """Get a whole batch; called by PyTorch's data loader.

        Args:
            indices (Sequence[int]): Indices of the samples.

        Returns:
            list[dict]: A single one, which holds all samples.
        """
        seeds = []
        if self._draws() != (None, None):
            seeds = np.random.randint(0, 2**32, len(indices), np.uint32)
        batch = self.get_batch(np.array(indices), list(map(int, seeds)))
        return [dict(inputs=batch.images, data_samples=batch)]

    def get_batch(self, indices: np.ndarray,
                  seeds: Sequence[int]) -> ImageBatch:
        """Get the images of a batch and how to crop and mirror them.

        Args:
            indices (np.ndarray): Indices of the samples, int64 of shape (N, ).
            seeds (Sequence[int]): For each the seed of its view; empty if the
                pipeline draws nothing.

        Returns:
            ImageBatch: Without its ``views``.
        """
        crop, flip = self._draws()
        if self._images is None:
            self.full_init()
        chosen = torch.from_numpy(indices)
        images = self._images[chosen]
        height, width = images.shape[1:3]
        offsets, flips, size = None, None, (height, width)
        pad_val = (0, 0, 0)
        if crop is not None:
            size, pads, pad_val = _crop_of(crop, height, width)
            high = (height + pads[1] + pads[3] - size[0],
                    width + pads[0] + pads[2] - size[1])
            if high != (0, 0) or any(pads):
                offsets = np.full((len(indices), 2), (-pads[1], -pads[0]))
        if offsets is not None or flip is not None:
            draws = np.random.RandomState(0)
            flips = np.zeros(len(indices), bool)
            for i, seed in enumerate(seeds):
                draws.seed(seed)
                if offsets is not None and high != (0, 0):
                    # RandomCrop draws them in this order.
                    offsets[i, 0] += draws.randint(0, high[0] + 1)
                    offsets[i, 1] += draws.randint(0, high[1] + 1)
                if flip is not None:
                    # RandomFlip draws by np.random.choice.
                    flips[i] = draws.random_sample() < flip
        return ImageBatch(
            images, self._labels[chosen], chosen, size,
            None if offsets is None else torch.from_numpy(offsets),
            None if flip is None else torch.from_numpy(flips), pad_val)

    def full_init(self) -> None:
        """Load the data set, and its images as one tensor.

        Not lazily: worker processes share what is loaded when they start.
        """
        super().full_init()
        if self._images is None:
            self._stack([self.get_data_info(i) for i in range(len(self))])

    def _serialize_data(self) -> Tuple[np.ndarray, np.ndarray]:
        # To read each record again takes half a second.
        self._stack(self.data_list)
        return super()._serialize_data()

    def _stack(self, infos: Sequence[Dict]) -> None:
        self._images = torch.from_numpy(
            np.stack([info['img'] for info in infos]))
        self._labels = torch.tensor([info['gt_label'] for info in infos])

    def get_subset_(self, indices: Any) -> None:
        """Keep some of the samples.

        Args:
            indices (int | Sequence[int]): As for MMEngine's ``BaseDataset``.
        """
        super().get_subset_(indices)
        self._images = self._labels = None

    def get_subset(self, indices: Any) -> 'BatchedImages':
        """A data set of some of the samples.

        Args:
            indices (int | Sequence[int]): As for MMEngine's ``BaseDataset``.
        """
        subset = super().get_subset(indices)
        subset._images = subset._labels = None
        return subset

    def _draws(self) -> Tuple[Optional[RandomCrop], Optional[float]]:
        """Crop and flip; read again if a hook has replaced the pipeline."""
        if self._read[0] is not self.pipeline:
            self._read = (self.pipeline, *self._read_pipeline())
        return self._read[1:]

    def _read_pipeline(self) -> Tuple[Optional[RandomCrop], Optional[float]]:
        """Read the crop and the probability of a flip.

        Raises:
            ConfigError: For any other transform.
        """
        left: List[Any] = list(self.pipeline.transforms)
        crop, flip = None, None
        if left and type(
                left[0]) is RandomCrop and not left[0].pad_if_needed and left[
                    0].padding_mode == 'constant':
            crop = left.pop(0)
        if left and type(left[0]) is RandomFlip and isinstance(
                left[0].prob, float) and left[0].direction == 'horizontal':
            chance = left.pop(0).prob
            # The sum of np.random.choice, to the bit.
            total = np.cumsum([chance, 1. - chance])
            flip = float((total / total[-1])[0])
        if len(left) != 1 or type(left[0]) is not PackInputs:
            other = left[0] if left else 'nothing'
            name = other if isinstance(other, str) else type(other).__name__
            raise ConfigError(
                f'train_dataloader.dataset.pipeline: {type(self).__name__} '
                f'supports {_KNOWN}, not "{name}" there: use '
                f'{type(self).__name__.removeprefix("Batched")} for it')
        return crop, flip


def _crop_of(crop: RandomCrop, height: int,
             width: int) -> Tuple[Tuple, Tuple, Tuple]:
    """Size, (left, top, right, bottom) padding, and pad values of a crop."""
    padding = 0 if crop.padding is None else crop.padding
    if isinstance(padding, int):
        padding = (padding, ) * 4
    elif len(padding) == 2:
        padding = (padding[0], padding[1]) * 2
    pad_val = crop.pad_val
    if not isinstance(pad_val, (tuple, list)):
        # OpenCV, by which mmcv.impad pads, takes a single number like this.
        pad_val = (pad_val, 0, 0)
    size = (min(crop.crop_size[0], height + padding[1] + padding[3]),
            min(crop.crop_size[1], width + padding[0] + padding[2]))
    return size, tuple(padding), tuple(pad_val)


class _CheckedOnce:
    """Mixin of MMPretrain's CIFAR, which hashes the files of both splits twice
    for each data set."""

    def _check_integrity(self) -> bool:
        folder = osp.join(self.data_prefix['root'], self.base_folder)
        lists = self.train_list + self.test_list
        # None if they are not on a disk.
        state = files_key(osp.join(folder, name) for name, _ in lists)
        known = (state, str(lists))
        if known in _INTACT:
            return True
        is_intact = super()._check_integrity()
        if is_intact and state is not None:
            _INTACT.add(known)
        return is_intact


@DATASETS.register_module()
class BatchedCIFAR10(BatchedImages, _CheckedOnce, CIFAR10):
    """CIFAR-10 in whole batches, see :class:`BatchedImages`."""

    plain = 'CIFAR10'


@DATASETS.register_module()
class BatchedCIFAR100(BatchedImages, _CheckedOnce, CIFAR100):
    """CIFAR-100 in whole batches, see :class:`BatchedImages`."""

    plain = 'CIFAR100'


@DATASETS.register_module()
class BatchedDigits(BatchedImages, Digits):
    """The digits in whole batches, see :class:`BatchedImages`."""

    plain = 'Digits'


@DATASETS.register_module()
class BatchedSVHN(BatchedImages, SVHN):
    """SVHN in whole batches, see :class:`BatchedImages`."""

    plain = 'SVHN'
