# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Optional, Sequence

import torch
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from mmdgkd.errors import ConfigError


@DATASETS.register_module()
class NoImages(Dataset):
    """A data set without images, for :class:`DenseDAFL`.

    It sets the length of an epoch and the shape of images, and reads no file.
    Its images are black, with the label 0.

    Args:
        length (int): Images in an epoch.
        shape (Sequence[int]): Shape (C, H, W) of an image. Defaults to
            (3, 32, 32).
        metainfo (dict, optional): Such as ``classes``, the names of the
            classes, which are saved with the trained network.
            Defaults to None.
        lazy_init (bool): Ignored: there is nothing to load.
            Defaults to False.

    Raises:
        ConfigError: If one of these is out of its range.
    """

    # Nothing is held out of it.
    has_images = False

    def __init__(self,
                 length: int,
                 shape: Sequence[int] = (3, 32, 32),
                 metainfo: Optional[Dict] = None,
                 lazy_init: bool = False) -> None:
        here = 'train_dataloader.dataset'
        if not (type(length) is int and length > 0):
            raise ConfigError(f'{here}.length: {length!r} must be an integer'
                              ', 1 or more')
        if len(shape) != 3 or any(
                type(size) is not int or size < 1 for size in shape):
            raise ConfigError(f'{here}.shape: {shape!r} must be (C, H, W), '
                              'such as (3, 32, 32)')
        self.length = length
        self.shape = tuple(shape)
        self._metainfo = dict(metainfo or {})

    @property
    def metainfo(self) -> Dict[str, Any]:
        """A copy of the given ``metainfo``."""
        return dict(self._metainfo)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Dict[str, Any]:
        """A black image, uint8 of shape (C, H, W), of class 0.

        Args:
            index (int): Any index.
        """
        black = torch.zeros(1, dtype=torch.uint8).expand(self.shape)
        return dict(inputs=black, data_samples=DataSample().set_gt_label(0))
