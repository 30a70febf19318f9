# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How images are mixed with others: MixUp, CutMix and ResizeMix."""
from dataclasses import dataclass
from typing import Any, List, Optional

import numpy as np
import torch
from torch.nn import functional as F

from mmdgkd.errors import ConfigError
from mmdgkd.utils.device import to_device


@dataclass
class Mixes:
    """How each image of a batch is mixed with another, its partner.

    Attributes:
        partners (np.ndarray): Indices of the partners in the data set, int64
            of shape (N, ). That of an image that is not mixed is itself.
        weights (np.ndarray): Weights of the images outside of the boxes,
            float64 of shape (N, ); the partners have the rest.
        boxes (np.ndarray): First row, last row + 1, first column and last
            column + 1 of what is the partner's alone, int64 of shape (N, 4).
        shares (np.ndarray): Weights of the labels of the images, float64 of
            shape (N, ).
        resized (list[str, optional]): The interpolation by which the whole
            partner is resized into its box; None: the box is cut out of it.
    """

    partners: np.ndarray
    weights: np.ndarray
    boxes: np.ndarray
    shares: np.ndarray
    resized: List[Optional[str]]

    @property
    def mixed(self) -> np.ndarray:
        """Which images have a part of another, bool of shape (N, )."""
        top, bottom, left, right = self.boxes.T
        return ((self.weights != 1) | (self.shares != 1)
                | ((bottom > top) & (right > left)))

    def images(self, own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Mix images, before or after their normalization.

        Args:
            own (torch.Tensor): Of any number type, shape (N, C, H, W).
            others (torch.Tensor): The partners, likewise.

        Returns:
            torch.Tensor: float32 of shape (N, C, H, W).
        """
        own, others = own.float(), others.float()
        device, (height, width) = own.device, own.shape[-2:]
        if any(self.resized):
            others = self._pasted(others)
        mixed = (
            _vector(self.weights, device) * own +
            _vector(1 - self.weights, device) * others)
        top, bottom, left, right = to_device(self.boxes, device).T[:, :, None]
        rows = torch.arange(height, device=device)
        columns = torch.arange(width, device=device)
        inside = (((rows >= top) & (rows < bottom))[:, None, :, None] &
                  ((columns >= left) & (columns < right))[:, None, None])
        return torch.where(inside, others, mixed)

    def scores(self, own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Mix labels.

        Args:
            own (torch.Tensor): Scores of the classes, one-hot or soft, float32
                of shape (N, K).
            others (torch.Tensor): Those of the partners, likewise.
        """
        shares = torch.from_numpy(self.shares)[:, None]
        return shares.float() * own + (1 - shares).float() * others

    def _pasted(self, others: torch.Tensor) -> torch.Tensor:
        """Partners, some of them resized into their boxes."""
        others = others.clone()
        for i, mode in enumerate(self.resized):
            top, bottom, left, right = self.boxes[i].tolist()
            if mode is None or bottom <= top or right <= left:
                continue
            # PyTorch refuses the argument for other modes.
            corners = None if mode in ('nearest', 'area') else False
            others[i:i + 1, :, top:bottom, left:right] = F.interpolate(
                others[i:i + 1],
                size=(bottom - top, right - left),
                mode=mode,
                align_corners=corners)
        return others


def refuse_mixed_labels(data_samples: Any, here: str) -> None:
    """Refuse mixed images for a loss that needs one class an image.

    It would take the class of one of those that are mixed, without an error.

    Args:
        data_samples (Sequence[DataSample]): Those of the batch.
        here (str): What needs it, for the message.

    Raises:
        ConfigError: If an image has the classes of two.
    """
    scores = [
        sample.gt_score for sample in data_samples
        if getattr(sample, 'gt_score', None) is not None
    ]
    if scores and bool((torch.stack(scores).amax(1) < 1).any()):
        raise ConfigError(
            f'{here}: needs one class an image, but images are mixed and have '
            'those of two; leave out augments of model.train_cfg, or '
            'data_preprocessor.batch_augments')


def _vector(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """A number for each image, float32 of shape (N, 1, 1, 1)."""
    values = torch.from_numpy(values).float()
    return to_device(values, device)[:, None, None, None]
