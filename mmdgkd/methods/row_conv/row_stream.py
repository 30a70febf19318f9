# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from typing import Optional, Sequence

import torch
from mmpretrain.models import GlobalAveragePooling, ImageClassifier
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.folding import fold_batch_norms
from .rows_seen import check_single_rows, rows_seen

# Tolerance of its logits in float64, as a share of the largest.
_ROUNDING = 1e-9


class RowStream:
    """Classifies images whose rows arrive one after the other.

    For networks of 1xN filters (:func:`row_conv`), as in the on-the-fly system
    of arXiv 2003.03944: each layer computes its row from a row of the image,
    and global average pooling adds up the last ones. No row is stored. Unused
    rows (``keep_rows=False``) are skipped.

    Args:
        network (ImageClassifier): A trained classifier of MMPretrain whose
            neck is ``GlobalAveragePooling``. It is copied.
        shape (Sequence[int]): Shape (C, H, W) of an image.
        fold_bn (bool): Whether batch normalization, always in eval mode, is
            folded into the convolutions before it. Defaults to False.

    Raises:
        ConfigError: If a row of a feature map depends on several rows of the
            image, if it is no such classifier, or if its logits differ row by
            row.
    """

    def __init__(self,
                 network: nn.Module,
                 shape: Sequence[int],
                 fold_bn: bool = False) -> None:
        if not (isinstance(network, ImageClassifier) and network.with_head
                and isinstance(network.neck, GlobalAveragePooling)):
            raise ConfigError(
                f'model: {type(network).__name__}: rows are added up in an '
                'ImageClassifier with neck=dict(type="GlobalAveragePooling") '
                'and a head')
        seen = rows_seen(network.backbone, shape)
        if '' not in seen:
            raise ConfigError(
                f'model.backbone: {type(network.backbone).__name__}: outputs '
                'no feature map, whose rows could be added up')
        check_single_rows(seen)
        # Which rows of the image are used, each for one row of the last map.
        self._wanted = seen[''].any(0)
        self._check(network, fold_bn, shape, len(seen['']))
        network = copy.deepcopy(network).eval()
        self.network = fold_batch_norms(network) if fold_bn else network
        self.reset()

    def reset(self) -> None:
        """Start with the first row of other images."""
        self._next = 0
        self._sum: Optional[torch.Tensor] = None

    @torch.no_grad()
    def push(self, row: torch.Tensor) -> None:
        """Process the next row.

        Args:
            row (torch.Tensor): Of one or several images, preprocessed as for
                the network, shape (N, C, W).

        Raises:
            ValueError: If all rows have arrived already.
        """
        if self._next == len(self._wanted):
            raise ValueError(f'all {self._next} rows have arrived; reset() '
                             'begins with other images')
        if self._wanted[self._next]:
            row = self.network.backbone(row.unsqueeze(2))[-1].mean((2, 3))
            self._sum = row if self._sum is None else self._sum.add_(row)
        self._next += 1

    @torch.no_grad()
    def logits(self) -> torch.Tensor:
        """The logits of the images, shape (N, classes).

        Raises:
            ValueError: If rows are missing.
        """
        if self._next < len(self._wanted):
            raise ValueError(f'{self._next} of {len(self._wanted)} rows have '
                             'arrived')
        return self.network.head((self._sum / int(self._wanted.sum()), ))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Push all rows of images, and return their logits.

        Args:
            images (torch.Tensor): Shape (N, C, H, W).
        """
        self.reset()
        for row in images.unbind(2):
            self.push(row)
        return self.logits()

    def _check(self, network: nn.Module, fold_bn: bool, shape: Sequence[int],
               rows: int) -> None:
        """Compare the logits row by row with those of the given network.

        In float64. A row computed alone must not differ from one among others.
        """
        exact = copy.deepcopy(network).cpu().double().eval()
        images = torch.linspace(-2, 2, 2 * shape[0] * shape[1] * shape[2])
        images = images.reshape(2, *shape).sin().double()
        with torch.no_grad():
            wanted = exact(images)
        self.network = fold_batch_norms(exact) if fold_bn else exact
        error = (self(images) - wanted).abs().max()
        if rows != int(self._wanted.sum()) or not (
                error <= _ROUNDING * wanted.abs().max() + _ROUNDING):
            raise ConfigError(
                f'model.backbone: {type(network.backbone).__name__}: a row '
                'computed alone differs from the same one among others (the '
                f'logits by {float(error):.2g})')
