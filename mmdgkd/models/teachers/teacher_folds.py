# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which images the teachers of a stage were trained on."""
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np
import torch

from mmdgkd.datasets.splits import fold_of
from mmdgkd.errors import ConfigError
from mmdgkd.structures.views import views_of
from mmdgkd.utils.config import refuse_unknown

_HERE = 'model.folds'


class TeacherFolds:
    """The fold of images that each teacher was not trained on.

    Args:
        num (int): Number of folds.
        left_out (Mapping[str, int]): The fold of each such teacher, by name.
            The others have seen all images.
        seed (int): Seed of the folds. Defaults to 0.
    """

    def __init__(self,
                 num: int,
                 left_out: Mapping[str, int],
                 seed: int = 0) -> None:
        self.num, self.left_out, self.seed = num, dict(left_out), seed
        # The fold of each image; a function of its index alone.
        self._folds = np.zeros(0, np.int64)

    @classmethod
    def from_cfg(cls, cfg: Optional[Mapping[str, Any]],
                 names: Sequence[str]) -> Optional['TeacherFolds']:
        """Read and check ``num``, ``seed`` and ``left_out``.

        Args:
            cfg (Mapping, optional): As in the config; None for None.
            names (Sequence[str]): The teachers.

        Raises:
            ConfigError: For another key, or a value out of its range.
        """
        if cfg is None:
            return None
        if not isinstance(cfg, Mapping):
            raise ConfigError(f'{_HERE}: {cfg!r} must be dict(num=..., '
                              'left_out=dict(<teacher>=<fold>))')
        refuse_unknown(cfg, ('num', 'seed', 'left_out'), _HERE)
        num, seed = cfg.get('num'), cfg.get('seed', 0)
        if type(num) is not int or num < 2:
            raise ConfigError(f'{_HERE}.num: {num!r} must be an integer, 2 or '
                              'more')
        if type(seed) is not int or seed < 0:
            raise ConfigError(f'{_HERE}.seed: {seed!r} must be an integer, 0 '
                              'or more')
        left_out = cfg.get('left_out') or {}
        if not isinstance(left_out, Mapping):
            raise ConfigError(f'{_HERE}.left_out: {left_out!r} must be a fold '
                              'by teacher, such as dict(resnet56=0)')
        for name, fold in left_out.items():
            if name not in names:
                raise ConfigError(f'{_HERE}.left_out: "{name}" is no teacher '
                                  f'here; there are: {", ".join(names)}')
            if type(fold) is not int or not 0 <= fold < num:
                raise ConfigError(f'{_HERE}.left_out.{name}: {fold!r} must be '
                                  f'from 0 to {num - 1}')
        return cls(num, left_out, seed)

    def unseen(self, data_samples: Any, here: str) -> Dict[str, torch.Tensor]:
        """Which images of a batch a teacher was not trained on.

        Of a mixed image these are both of its parts.

        Args:
            data_samples (Sequence[DataSample]): They have the views of the
                batch.
            here (str): The config key of what needs it, for the message.

        Returns:
            dict[str, torch.Tensor]: By teacher of ``left_out``, bool of shape
            (N, ).

        Raises:
            ConfigError: If the samples have no views, unless ``left_out`` is
                empty.
        """
        if not self.left_out:
            return {}
        views = views_of(data_samples)
        if views is None:
            raise ConfigError(
                f'{here}: needs the index of each image, which only samples '
                "of dict(type='mmpretrain.ViewDataset', dataset=...) have; "
                'set chain.folds and chain.views, or leave it out')
        indices = views.indices[None]
        if views.partners is not None:
            indices = np.stack([views.indices, views.partners])
        count = int(indices.max(initial=-1)) + 1
        if count > len(self._folds):
            self._folds = fold_of(np.arange(count), self.num, self.seed)
        folds = torch.from_numpy(self._folds[indices])
        return {
            name: (folds == fold).all(0)
            for name, fold in self.left_out.items()
        }
