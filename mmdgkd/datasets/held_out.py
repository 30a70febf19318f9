# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List, Sequence

import numpy as np
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from mmdgkd.errors import ConfigError
from .splits import held_out, images_of


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

    Raises:
        ConfigError: If it has no more samples than that.
    """

    def __init__(self, dataset: Any, holdout: int, seed: int = 0) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        if len(dataset) <= holdout:
            raise ConfigError(f'chain.holdout: {holdout} of {len(dataset)} '
                              'training images leaves none to train on')
        self.dataset = dataset
        images = images_of(dataset)
        out = held_out(int(images.max()) + 1, holdout, seed)
        # Of an image that is repeated the first sample.
        first = np.unique(images, return_index=True)
        self.indices = first[1][np.isin(first[0], out)]

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
        return self.dataset[int(self.indices[index])]

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
