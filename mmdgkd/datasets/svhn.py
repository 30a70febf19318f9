# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp
from typing import Any, Dict, List

import numpy as np
from mmengine import dist
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS
from torchvision import datasets

from .chosen_classes import ChosenClasses

_SPLITS = tuple(datasets.SVHN.split_list)


@DATASETS.register_module()
class SVHN(ChosenClasses, BaseDataset):
    """House numbers in photographs, cropped to one digit each.

    "Reading Digits in Natural Images with Unsupervised Feature Learning"
    (Netzer et al., NIPS workshop 2011): 73,257 images of 32x32 pixels for
    training, 26,032 for testing and 531,131 easier ones (``'extra'``). The
    files are read, checked and, where they are absent, downloaded by
    torchvision.

    Args:
        data_root (str): The folder of ``train_32x32.mat``, ``test_32x32.mat``
            and ``extra_32x32.mat``.
        split (str): ``'train'``, ``'test'`` or ``'extra'``. Defaults to
            ``'train'``; for train and extra use MMEngine's ``ConcatDataset``.
        download (bool): Whether a file that is absent is downloaded. Defaults
            to True.
        **kwargs: As for MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: For another split.
        FileNotFoundError: If the file is absent, or not the official one, and
            cannot be downloaded.
    """

    METAINFO = {'classes': [str(digit) for digit in range(10)]}

    def __init__(self,
                 data_root: str,
                 split: str = 'train',
                 download: bool = True,
                 **kwargs: Any) -> None:
        if split not in _SPLITS:
            raise ValueError(f'SVHN.split: {split!r} is none of '
                             f'{", ".join(map(repr, _SPLITS))}')
        self.split = split
        self.download = download
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> List[Dict]:
        """Read the images, as uint8 of shape (32, 32, 3), RGB, and labels."""
        url, name, _ = datasets.SVHN.split_list[self.split]
        if self.download and dist.is_main_process():
            _load(self.data_root, self.split, True)
        # The others read what the first has downloaded.
        dist.barrier()
        read = _load(self.data_root, self.split, False)
        if read is None:
            raise FileNotFoundError(
                f'{osp.join(self.data_root, name)}: is absent, or not the '
                f'official file; put that of {url} there, or set data_root to '
                'where it is')
        images = np.ascontiguousarray(read.data.transpose(0, 2, 3, 1))
        return [
            dict(img=image, gt_label=int(label))
            for image, label in zip(images, read.labels)
        ]


def _load(root: str, split: str, download: bool) -> Any:
    """Load torchvision's data set; None if its file is not available."""
    try:
        return datasets.SVHN(root, split, download=download)
    except (RuntimeError, OSError):
        return None
