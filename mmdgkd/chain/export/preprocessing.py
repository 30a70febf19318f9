# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a program does to an image before its network: resize, crop, order."""
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import type_of

# (backend, interpolation) of MMCV -> that of torch, the same but for rounding.
_MODES = {
    ('cv2', 'nearest'): dict(mode='nearest'),
    ('cv2', 'bilinear'): dict(mode='bilinear'),
    ('cv2', 'bicubic'): dict(mode='bicubic'),
    ('pillow', 'bilinear'): dict(mode='bilinear', antialias=True),
    ('pillow', 'bicubic'): dict(mode='bicubic', antialias=True),
}
# What does not change an image, and what does not change the order of its
# channels or its values, but for rounding.
_NEUTRAL = ('LoadImageFromFile', 'PackInputs')
_GEOMETRIC = ('CenterCrop', 'Resize', 'ResizeEdge')


class FlipChannels(nn.Module):
    """Red, green, blue to blue, green, red, and back."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Flip the channels, shape (N, 3, H, W)."""
        return images.flip(1)


class ResizeImages(nn.Module):
    """MMCV's ``Resize`` and MMPretrain's ``ResizeEdge``.

    Args:
        scale (int | tuple[int]): The edge, or (width, height), in pixels.
        edge (str, optional): ``'short'``, ``'long'``, ``'width'`` or
            ``'height'`` gets that many pixels. Defaults to None: both.
        options (dict): Of ``torch.nn.functional.interpolate``.
    """

    def __init__(self, scale: Any, edge: Optional[str],
                 options: Mapping[str, Any]) -> None:
        super().__init__()
        self.scale, self.edge, self.options = scale, edge, dict(options)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Resize images, shape (N, C, H, W): (N, C, high, wide), rounded."""
        images = F.interpolate(
            images, size=self.size_of(*images.shape[2:]), **self.options)
        return images.round().clamp(0, 255)

    def size_of(self, height: int, width: int) -> List[int]:
        """The size of a resized image; without branches, for any size."""
        if self.edge is None:
            wide, high = self.scale
            return [high, wide]
        high = self.scale * height // width
        wide = self.scale * width // height
        if self.edge == 'short':
            return [
                torch.sym_max(high, self.scale),
                torch.sym_max(wide, self.scale)
            ]
        if self.edge == 'long':
            return [
                torch.sym_min(high, self.scale),
                torch.sym_min(wide, self.scale)
            ]
        if self.edge == 'width':
            return [high, self.scale]
        return [self.scale, wide]


class CropCenter(nn.Module):
    """MMCV's ``CenterCrop``.

    Args:
        width (int): In pixels.
        height (int): In pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Crop images, shape (N, C, H, W): (N, C, height, width) at most."""
        top = torch.sym_max(0, self.half(images.shape[2] - self.height))
        left = torch.sym_max(0, self.half(images.shape[3] - self.width))
        return images[:, :, top:top + self.height, left:left + self.width]

    @staticmethod
    def half(rest: int) -> int:
        """``round(rest / 2)``, to even as in Python, without branches."""
        return rest // 2 + (rest % 2) * (rest // 2 % 2)


def is_neutral(step: Mapping[str, Any]) -> bool:
    """Whether a step of a pipeline does not change an image."""
    return type_of(step) in _NEUTRAL


def has_order_of_files(pipeline: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pipeline gives images as OpenCV reads them: uint8, BGR."""
    kinds = [type_of(step) for step in pipeline]
    return kinds[:1] == ['LoadImageFromFile'] and all(
        kind in _NEUTRAL + _GEOMETRIC for kind in kinds)


def preprocessing_of(pipeline: Sequence[Dict[str, Any]]) -> List[nn.Module]:
    """The steps of a pipeline for testing that change an image.

    Args:
        pipeline (Sequence[dict]): Of the data set.

    Raises:
        ConfigError: If there is none, or a program cannot have one of them.
    """
    key = 'test_dataloader.dataset.pipeline'
    modules = []
    for step in pipeline:
        if is_neutral(step):
            continue
        kind = type_of(step)
        if kind == 'CenterCrop' and not step.get('auto_pad'):
            modules.append(CropCenter(*_pair(step['crop_size'])))
            continue
        mode = (step.get('backend',
                         'cv2'), step.get('interpolation', 'bilinear'))
        options = _MODES.get(mode)
        if kind == 'ResizeEdge' and options:
            modules.append(
                ResizeImages(step['scale'], step.get('edge', 'short'),
                             options))
        elif (kind == 'Resize' and options and step.get('scale')
              and not step.get('keep_ratio')):
            modules.append(ResizeImages(_pair(step['scale']), None, options))
        else:
            raise ConfigError(
                f'{key}: --preprocess cannot put {dict(step)} into a program; '
                'it knows ResizeEdge, Resize without keep_ratio, and '
                'CenterCrop, by cv2 or pillow')
    if not modules:
        raise ConfigError(f'{key}: neither resizes nor crops; leave out '
                          '--preprocess')
    return modules


def _pair(size: Any) -> Any:
    """Width and height."""
    return (size, size) if isinstance(size, int) else tuple(size)
