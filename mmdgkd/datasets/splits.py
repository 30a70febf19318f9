# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which images of a training set a network is trained on."""
import hashlib
import pickle
from dataclasses import dataclass
from typing import Any, Dict, Mapping, NamedTuple, Optional

import numpy as np

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown
from mmdgkd.utils.random import uniforms
from .identity import images_key

_KEYS = ('holdout', 'seed', 'folds', 'fold', 'folds_seed')
# Of uniforms(); other draws have others.
_HOLDOUT_STREAM = 0x686F6C64
_FOLD_STREAM = 0x666F6C64


def held_out(count: int, holdout: int, seed: int = 0) -> np.ndarray:
    """The images that are held out of all trainings.

    Args:
        count (int): Length of the data set.
        holdout (int): How many are held out.
        seed (int): Seed of the choice. Defaults to 0.

    Returns:
        np.ndarray: Their indices, int64 of shape (holdout, ), ascending.
    """
    draws = uniforms(seed, _HOLDOUT_STREAM, 0, count)
    return np.sort(np.argsort(draws, kind='stable')[:holdout])


def fold_of(indices: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """The fold of each image, a function of (seed, index) alone.

    Args:
        indices (np.ndarray): Indices in the data set, int64 of shape (N, ).
        folds (int): Number of folds.
        seed (int): Seed of the folds. Defaults to 0.

    Returns:
        np.ndarray: int64 of shape (N, ), from 0 to ``folds - 1``.
    """
    indices = np.asarray(indices, np.int64)
    draws = uniforms(seed, _FOLD_STREAM, 0, int(indices.max(initial=-1)) + 1)
    return (draws[indices] * folds).astype(np.int64)


def images_of(dataset: Any) -> np.ndarray:
    """Which image each sample of a data set is.

    Wrappers may repeat images: those of one image must not be parted.

    Args:
        dataset (Dataset): The data set, fully initialized.

    Returns:
        np.ndarray: Numbers from 0 on, int64 of shape (N, ).

    Raises:
        ConfigError: For a wrapper that does not say which its samples are.
    """
    if getattr(dataset, 'datasets', None):
        # What two parts have in common is one image.
        known: Dict[str, int] = {}
        return np.array([
            known.setdefault(_info_key(part, i), len(known))
            for part in dataset.datasets for i in range(len(part))
        ])
    inner = getattr(dataset, 'dataset', None)
    if inner is None:
        return np.arange(len(dataset))
    images, origin = images_of(inner), getattr(dataset, '_get_ori_dataset_idx',
                                               None)
    if len(dataset) == len(images):
        return images
    if origin is None:
        raise ConfigError(
            f'train_dataloader.dataset: {type(dataset).__name__} does not say '
            'which images its samples are, so that none can be held out; '
            'leave it out, or chain.holdout and chain.folds')
    return images[[origin(i) for i in range(len(dataset))]]


class ImageSet(NamedTuple):
    """Of which images a split is.

    Attributes:
        count (int): How many.
        key (str): See :func:`images_key`; empty where it is not known.
    """

    count: int
    key: str = ''


def image_set_of(dataset: Any, images: np.ndarray) -> ImageSet:
    """Say of which images the splits of a data set are.

    Args:
        dataset (Dataset): The data set, fully initialized.
        images (np.ndarray): See :func:`images_of`.
    """
    return ImageSet(int(images.max(initial=-1)) + 1, images_key(dataset))


def _info_key(dataset: Any, index: int) -> str:
    """A hash of what a sample is read from, wherever it stands."""
    info = dict(dataset.get_data_info(index))
    info.pop('sample_idx', None)
    return hashlib.sha256(pickle.dumps(info, protocol=4)).hexdigest()


@dataclass(frozen=True)
class Split:
    """Which images of a data set a network is trained on.

    Args:
        holdout (int): How many images are held out of all trainings.
            Defaults to 0.
        seed (int): Seed of their choice. Defaults to 0.
        folds (int): Number of folds of the others. Defaults to 0: none.
        fold (int, optional): The fold that is left out. Defaults to None: the
            network is trained on all folds.
        folds_seed (int): Seed of the folds. Defaults to 0.
    """

    holdout: int = 0
    seed: int = 0
    folds: int = 0
    fold: Optional[int] = None
    folds_seed: int = 0

    @classmethod
    def from_cfg(cls, cfg: Optional[Mapping], here: str) -> 'Split':
        """Read the config of a split, see the class.

        Args:
            cfg (Mapping, optional): As in the config; None: all images.
            here (str): The config key, for messages.

        Raises:
            ConfigError: For another key, or a value out of its range.
        """
        cfg = {} if cfg is None else cfg
        if not isinstance(cfg, Mapping):
            raise ConfigError(
                f'{here}: must be dict(holdout=...), not {cfg!r}')
        refuse_unknown(cfg, _KEYS, here)
        for key in ('holdout', 'seed', 'folds', 'folds_seed'):
            value = cfg.get(key, 0)
            if type(value) is not int or value < 0:
                raise ConfigError(f'{here}.{key}: {value!r} must be an '
                                  'integer, 0 or more')
        split = cls(**cfg)
        if split.folds == 1:
            raise ConfigError(f'{here}.folds: 1 leaves nothing to train on; '
                              'must be 2 or more')
        fold = split.fold
        if fold is not None and not (type(fold) is int
                                     and 0 <= fold < split.folds):
            raise ConfigError(f'{here}.fold: {fold!r} must be from 0 to '
                              f'{split.folds - 1}, or None')
        return split

    def indices(self, images: np.ndarray) -> np.ndarray:
        """The samples that a network is trained on.

        Args:
            images (np.ndarray): See :func:`images_of`.

        Returns:
            np.ndarray: Their indices, int64, ascending.

        Raises:
            ConfigError: If none are left, or if samples repeat an image that
                may be in a fold.
        """
        count = int(images.max(initial=-1)) + 1
        out = held_out(count, self.holdout, self.seed)
        is_in = ~np.isin(images, out)
        if not is_in.any():
            raise ConfigError(f'chain.holdout: {self.holdout} of {count} '
                              'training images leaves none to train on')
        # Also of a network that is trained on all: its teachers may not be.
        if self.folds and not np.array_equal(images, np.arange(len(images))):
            raise ConfigError(
                'chain.folds: an image is known by its index, but the data '
                'set repeats some, or joins several; use one, and more epochs')
        if self.fold is not None:
            is_in &= fold_of(images, self.folds, self.folds_seed) != self.fold
            if not is_in.any():
                raise ConfigError(
                    f'chain.folds: of {self.folds} folds of {count} training '
                    f'images all are in fold {self.fold}, which is left out; '
                    'none are left to train on')
        return np.flatnonzero(is_in)

    @property
    def is_given(self) -> bool:
        """Whether images may be left out, by this network or by another."""
        return bool(self.holdout or self.folds)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What tells which images are left out, plain data; empty if none."""
        facts = dict(
            holdout=self.holdout, seed=self.seed) if self.holdout else {}
        if self.fold is not None:
            facts.update(
                folds=self.folds, fold=self.fold, folds_seed=self.folds_seed)
        return facts
