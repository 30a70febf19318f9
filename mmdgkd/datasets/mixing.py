# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMPretrain's MixUp, CutMix and ResizeMix as functions of a view."""
import copy
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpretrain.models.utils.batch_augments import (CutMix, RandomBatchAugment,
                                                    ResizeMix)
from torch.nn import functional as F

from mmdgkd.errors import ConfigError
from mmdgkd.structures.mixes import Mixes
from mmdgkd.utils.config import refuse_unknown
from mmdgkd.utils.random import aside, mix_seed, partners_seed
from .mixing_config import check_augment, check_probs, listed

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
        for augment in listed(augments):
            check_augment(augment, f'{here}.augments')
        check_probs(probs, len(listed(augments)), f'{here}.probs')
        # It changes the lists that it is given.
        self._choice = RandomBatchAugment(
            copy.deepcopy(augments),
            list(probs) if isinstance(probs, tuple) else copy.copy(probs))
        self.num_classes = num_classes
        self._here = here
        self._partners: Tuple[Any, ...] = (None, None)
        self._chosen: Optional[np.ndarray] = None

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

    def keep_to(self, indices: Optional[np.ndarray]) -> None:
        """Choose partners among some samples alone.

        Args:
            indices (np.ndarray, optional): Their indices, int64, ascending;
                any other sample is its own partner. None: all.
        """
        self._chosen = indices

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
            chosen = count if self._chosen is None else self._chosen
            order, partners = draw.permutation(chosen), np.arange(count)
            half = len(order) // 2
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

    def mix(self, samples: Sequence[Dict], seed: int, count: int,
            read: Callable[[int, int], Dict]) -> None:
        """Mix the views of a batch, in place.

        Mostly both of two partners are in it, and each is read once.

        Args:
            samples (Sequence[dict]): The views as the pipeline returns them,
                with ``view`` and ``sample_idx`` in the meta; each gets a mixed
                image, float32 of shape (C, H, W), ``gt_score``, and the index
                of its partner, ``partner_idx``, in the meta.
            seed (int): The seed of the views.
            count (int): Length of the data set.
            read (Callable): Reads a view by its number and index.

        Raises:
            ConfigError: If there is no image of one shape in each, or as
                :meth:`scores`.
        """
        known: Dict[Tuple[int, int], Tuple[torch.Tensor, torch.Tensor]] = {}
        for sample in samples:
            data = sample['data_samples']
            known[data.view, data.sample_idx] = self._mixable(sample)
        for sample in samples:
            data = sample['data_samples']
            image, scores = known[data.view, data.sample_idx]
            mixes = self.draw(seed, [data.view], [data.sample_idx], count,
                              image.shape[-2:])
            key = data.view, int(mixes.partners[0])
            if key not in known:
                known[key] = self._mixable(read(*key))
            other, others_scores = known[key]
            if other.shape != image.shape:
                raise ConfigError(
                    'train_dataloader.dataset.pipeline: gives images of '
                    f'shapes {tuple(image.shape)} and {tuple(other.shape)}, '
                    'which cannot be mixed; add a transform that resizes or '
                    'crops them to one')
            sample['inputs'] = mixes.images(image[None], other[None])[0]
            data.set_gt_score(mixes.scores(scores, others_scores)[0])
            data.set_metainfo(dict(partner_idx=key[1]))

    def _mixable(self, sample: Dict) -> Tuple[torch.Tensor, torch.Tensor]:
        """The image and the labels of a view that is not mixed yet."""
        image = sample['inputs']
        if not (isinstance(image, torch.Tensor) and image.ndim == 3):
            raise ConfigError(
                'train_dataloader.dataset.pipeline: mixing needs one image a '
                f'sample, of shape (C, H, W), not {type(image).__name__}')
        return image, self.scores(sample['data_samples'])

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
