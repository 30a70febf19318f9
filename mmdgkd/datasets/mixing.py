# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMPretrain's MixUp, CutMix and ResizeMix as functions of a view."""
import copy
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpretrain.models.utils.batch_augments import (CutMix, Mixup,
                                                    RandomBatchAugment,
                                                    ResizeMix)
from mmpretrain.registry import BATCH_AUGMENTS
from torch.nn import functional as F

from mmdgkd.errors import ConfigError
from mmdgkd.structures.mixes import Mixes
from mmdgkd.utils.config import find_type, reason_of, refuse_unknown
from mmdgkd.utils.random import aside, mix_seed, partners_seed

# Their kinds alone: what another one draws and mixes is not known.
KINDS = (Mixup, CutMix, ResizeMix)
_KEYS = ('augments', 'probs', 'num_classes')
# Increase it when the same seed gives other mixes.
_VERSION = 1


class Mixing:
    """Mixes each view with another one, its partner.

    What :class:`RandomBatchAugment` of MMPretrain draws once for a batch is
    drawn for each view from (seed, view, index) alone, by the same code: which
    augmentation, the ratio λ and the box have the same distributions. The
    partner has a uniform distribution over the other samples of the data set,
    where MMPretrain's is one of the batch, perhaps the image itself. Partners
    are mutual, as in timm, each with a λ and a box of its own; of an odd
    number of samples one is its own partner.

    Source: mixup, arXiv 1710.09412, eq. 1; CutMix, arXiv 1905.04899, eq. 1
    and 2; ResizeMix, arXiv 2012.11101, eq. 3.

    Args:
        augments (dict | list[dict]): As for :class:`RandomBatchAugment`, of
            the types :class:`Mixup`, :class:`CutMix` and :class:`ResizeMix`.
        probs (float | list[float], optional): The probability of each; with
            the rest an image stays as it is. Defaults to None: they have the
            same, and each image is mixed.
        num_classes (int, optional): Number of classes, where the data set has
            no list of them. Defaults to None.
        here (str): The config key, for messages.

    Raises:
        ConfigError: For another augmentation, or a value out of its range.
    """

    def __init__(self,
                 augments: Any,
                 probs: Any = None,
                 num_classes: Optional[int] = None,
                 here: str = 'ViewDataset.mix') -> None:
        for augment in _listed(augments):
            _check_augment(augment, f'{here}.augments')
        _check_probs(probs, len(_listed(augments)), f'{here}.probs')
        # It changes the lists that it is given.
        self._choice = RandomBatchAugment(
            copy.deepcopy(augments),
            list(probs) if isinstance(probs, tuple) else copy.copy(probs))
        self.num_classes = num_classes
        self._here = here
        self._partners: Tuple[Any, ...] = (None, None)

    @classmethod
    def from_cfg(cls, cfg: Any, here: str = 'ViewDataset.mix') -> 'Mixing':
        """Read the config of batch augmentations.

        Args:
            cfg (dict): ``augments`` and perhaps ``probs`` and
                ``num_classes``.
            here (str): The config key, for messages.

        Raises:
            ConfigError: For another key, or a wrong value.
        """
        if not isinstance(cfg, Mapping) or not cfg.get('augments'):
            raise ConfigError(f'{here}: {cfg!r} must be dict(augments=[dict('
                              "type='Mixup', alpha=0.8), ...], probs=...)")
        refuse_unknown(cfg, _KEYS, here)
        return cls(**cfg, here=here)

    def learn_classes(self, names: Optional[Sequence]) -> None:
        """Take the number of classes from their names.

        Args:
            names (Sequence, optional): In the metainfo of the data set.
        """
        if names is not None and len(names):
            self.num_classes = len(names)

    @property
    def facts(self) -> Dict[str, Any]:
        """All that the mixes depend on but seed, view and index."""
        return dict(
            version=_VERSION,
            augments=[
                augment and dict(vars(augment), type=type(augment).__name__)
                for augment in self._choice.augments
            ],
            probs=self._choice.probs)

    @property
    def summary(self) -> str:
        """The names of the augmentations."""
        return ', '.join(
            type(augment).__name__ for augment in self._choice.augments
            if augment)

    def partners(self, seed: int, view: int, count: int) -> np.ndarray:
        """Draw the partners of all samples.

        Args:
            seed (int): The seed of the views.
            view (int): Number of the view, of an image and of its partner.
            count (int): Length of the data set.

        Returns:
            np.ndarray: By index that of the partner, int64 of shape
            (count, ).
        """
        key = (seed, view, count)
        if self._partners[0] != key:
            draw = np.random.RandomState(partners_seed(seed, view))
            order, partners = draw.permutation(count), np.arange(count)
            half = count // 2
            first, second = order[:half], order[half:2 * half]
            partners[first], partners[second] = second, first
            self._partners = key, partners
        return self._partners[1]

    def draw(self, seed: int, views: Sequence[int], indices: Sequence[int],
             count: int, size: Tuple[int, int]) -> Mixes:
        """Draw how views are mixed.

        Args:
            seed (int): The seed of the views.
            views (Sequence[int]): Their numbers.
            indices (Sequence[int]): The indices of their samples.
            count (int): Length of the data set.
            size (tuple[int, int]): Height and width of the images, in pixels.
        """
        with aside():
            drawn = [
                self._draw_one(mix_seed(seed, int(view), int(index)), size)
                for view, index in zip(views, indices)
            ]
        weights, boxes, shares, resized = zip(*drawn)
        mixes = Mixes(
            np.array(indices), np.array(weights, float), np.array(boxes, int),
            np.array(shares, float), list(resized))
        mixes.partners = np.array([
            self.partners(seed, int(view), count)[index] if mixed else index
            for view, index, mixed in zip(views, indices, mixes.mixed)
        ])
        return mixes

    def _draw_one(self, seed: int, size: Tuple[int, int]) -> Tuple:
        """Weight, box, share of the labels, and interpolation of one view.

        All draws are those of MMPretrain, in its order.
        """
        np.random.seed(seed)
        augments, none = self._choice.augments, (0, 0, 0, 0)
        augment = augments[np.random.choice(
            len(augments), p=self._choice.probs)]
        if augment is None:
            return 1, none, 1, None
        share = np.random.beta(augment.alpha, augment.alpha)
        if not isinstance(augment, CutMix):
            return share, none, share, None
        mode = None
        if isinstance(augment, ResizeMix):
            low, high = augment.lam_min, augment.lam_max
            share, mode = share * (high - low) + low, augment.interpolation
        box, share = augment.cutmix_bbox_and_lam(size, share)
        return 1, box, share, mode

    def scores(self, sample: Any) -> torch.Tensor:
        """The labels of a sample as scores, float32 of shape (K, ).

        Args:
            sample (DataSample): It has scores already, or one class or more.

        Raises:
            ConfigError: If the number of classes is not known, or too small.
        """
        if sample.get('gt_score') is not None:
            return sample.gt_score.float()
        return self.one_hot(sample.get('gt_label')).sum(0)

    def one_hot(self, labels: Optional[torch.Tensor]) -> torch.Tensor:
        """Classes as scores.

        Args:
            labels (torch.Tensor, optional): int64 of shape (N, ).

        Returns:
            torch.Tensor: float32 of shape (N, K).

        Raises:
            ConfigError: As :meth:`scores`.
        """
        classes = self.num_classes
        if labels is None or classes is None or bool(
            (labels >= classes).any()):
            found = labels if labels is None else labels.tolist()
            raise ConfigError(
                f'{self._here}: mixed images need labels of a known number of '
                f'classes, and here are {found} of {classes} classes; set '
                'num_classes in data_preprocessor, or the metainfo=dict('
                'classes=[...]) of the data set')
        return F.one_hot(labels, classes).float()


def supports(cfg: Any) -> bool:
    """Whether all of some batch augmentations can become part of views.

    Not those of other classes, such as a user's own. What is wrong counts as
    supported: :class:`Mixing` says what.

    Args:
        cfg (dict): ``augments`` and perhaps ``probs``.
    """

    def is_other(augment: Any) -> bool:
        if not isinstance(augment, Mapping):
            return callable(augment)
        try:
            kind = find_type(BATCH_AUGMENTS, augment.get('type'))
        except KeyError:
            return False
        return kind not in KINDS

    augments = cfg.get('augments') if isinstance(cfg, Mapping) else ()
    return not any(map(is_other, _listed(augments)))


def _listed(augments: Any) -> List[Any]:
    return list(augments) if isinstance(augments,
                                        (list, tuple)) else [augments]


def _check_augment(augment: Any, here: str) -> None:
    """Build one; MMPretrain's assertions say nothing."""
    known = ', '.join(kind.__name__ for kind in KINDS)
    if not isinstance(augment, Mapping) or 'type' not in augment:
        raise ConfigError(f"{here}: {augment!r} must be dict(type='Mixup', "
                          f'alpha=0.8), of a type of {known}')
    try:
        if find_type(BATCH_AUGMENTS, augment['type']) not in KINDS:
            raise KeyError
    except KeyError:
        raise ConfigError(f'{here}: {augment["type"]!r} is none of {known}, '
                          'which can be part of a view') from None
    alpha = augment.get('alpha')
    if not (isinstance(alpha, float) and 0 < alpha < math.inf):
        raise ConfigError(f'{here}: {augment["type"]}.alpha: {alpha!r} must '
                          'be a float above 0')
    ranges = {
        'cutmix_minmax':
        augment.get('cutmix_minmax'),
        'lam_min, lam_max': (augment.get('lam_min',
                                         .1), augment.get('lam_max', .8))
    }
    for key, values in ranges.items():
        if values is not None and not _is_range(values):
            raise ConfigError(f'{here}: {augment["type"]}.{key}: {values!r} '
                              'must be two numbers from 0 to 1, the smaller '
                              'first')
    try:
        BATCH_AUGMENTS.build(dict(augment))
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{here}: {reason_of(error)}') from None


def _is_range(values: Any) -> bool:
    return (isinstance(values, (list, tuple)) and len(values) == 2
            and all(isinstance(value, (int, float)) for value in values)
            and 0 <= values[0] < values[1] <= 1)


def _check_probs(probs: Any, count: int, here: str) -> None:
    if probs is None:
        return
    values = [probs] if isinstance(probs, float) else probs
    if not (isinstance(values, (list, tuple)) and len(values) == count and all(
            isinstance(value, (int, float)) and value >= 0
            for value in values) and sum(values) <= 1):
        raise ConfigError(
            f'{here}: {probs!r} must be {count} probabilities, one for each '
            'of augments, whose sum is at most 1')
