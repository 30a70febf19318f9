# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import functools
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .chosen_classes import ChosenClasses

_TEST_SHARE = 5  # every fifth image of each digit


@DATASETS.register_module()
class Digits(ChosenClasses, BaseDataset):
    """scikit-learn's bundled handwritten digits: real images, no download.

    1,797 images of 8x8 pixels in 17 grey levels (UCI Optical Recognition of
    Handwritten Digits). Every fifth image of each digit is in the test split,
    so that the splits are the same on every machine: 1,442 and 355 images.

    Args:
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        size (int): Height and width of the images, in pixels; other than 8
            they are scaled bilinearly. Defaults to 8.
        **kwargs: As for MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: For another split.
    """

    METAINFO = {'classes': [str(digit) for digit in range(10)]}

    def __init__(self,
                 split: str = 'train',
                 size: int = 8,
                 **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"Digits.split: {split!r} is neither 'train' nor "
                             "'test'")
        self.split = split
        self.size = size
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[Dict]:
        """Read the images, as uint8 of shape (size, size, 3), and labels."""
        data_list = []
        seen = dict.fromkeys(range(10), 0)
        for pixels, label in zip(*_images_and_labels()):
            label = int(label)
            seen[label] += 1
            if (seen[label] % _TEST_SHARE == 0) != (self.split == 'test'):
                continue
            grey = np.round(pixels * (255 / 16)).astype(np.uint8)
            if self.size != 8:
                grey = cv2.resize(grey, (self.size, self.size))
            data_list.append(
                dict(img=np.repeat(grey[..., None], 3, 2), gt_label=label))
        return data_list


@functools.lru_cache(maxsize=1)
def _images_and_labels() -> Tuple[np.ndarray, np.ndarray]:
    """Cached: scikit-learn parses a text file."""
    from sklearn.datasets import load_digits
    digits = load_digits()
    return digits.images, digits.target
