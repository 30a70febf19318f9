# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import torch

from mmdgkd.utils.device import to_device
from .mixes import Mixes
from .views import BatchViews


@dataclass
class ImageBatch:
    """A batch of whole images, and how to crop and mirror them.

    Attributes:
        images (torch.Tensor): The whole images, uint8 of shape (N, H, W, 3).
        labels (torch.Tensor): Their classes, int64 of shape (N, ).
        indices (torch.Tensor): Their indices in the data set, likewise; they
            stay on the CPU.
        size (tuple[int, int]): Height and width of a view, in pixels.
        offsets (torch.Tensor, optional): Row and column of each view's upper
            left corner in its image, int64 of shape (N, 2); negative ones are
            outside of it. Defaults to None: the whole image.
        flips (torch.Tensor, optional): Which are mirrored left to right, bool
            of shape (N, ). Defaults to None: none.
        pad_val (tuple[int, int, int]): Values outside of an image.
            Defaults to (0, 0, 0).
        views (BatchViews, optional): Their views. Defaults to None.
        others (ImageBatch, optional): The images with which they are mixed.
            Defaults to None: they are not.
        mixes (Mixes, optional): How. Defaults to None.
        scores (torch.Tensor, optional): Their mixed labels, float32 of shape
            (N, K). Defaults to None.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    size: Tuple[int, int]
    offsets: Optional[torch.Tensor] = None
    flips: Optional[torch.Tensor] = None
    pad_val: Tuple[int, int, int] = (0, 0, 0)
    views: Optional[BatchViews] = None
    others: Optional['ImageBatch'] = None
    mixes: Optional[Mixes] = None
    scores: Optional[torch.Tensor] = None

    def _each(self, change: Callable) -> 'ImageBatch':
        if self.others is not None:
            self.others._each(change)
        for key in ('images', 'labels', 'offsets', 'flips', 'scores'):
            value = getattr(self, key)
            if value is not None:
                setattr(self, key, change(value))
        return self

    def pin_memory(self) -> 'ImageBatch':
        """Move the batch to page-locked memory; called by the data loader."""
        return self._each(torch.Tensor.pin_memory)

    def to(self, device: torch.device) -> 'ImageBatch':
        """Move the batch to a device.

        Args:
            device (torch.device): The device.
        """
        return self._each(lambda value: to_device(value, device))

    def cut(self) -> torch.Tensor:
        """Crop, mirror and mix all images at once.

        Returns:
            torch.Tensor: uint8, or float32 if they are mixed, of shape
            (N, 3, h, w), in channels_last.
        """
        if self.mixes is None:
            return self._cut()
        return self.mixes.images(self._cut(), self.others._cut())

    def _cut(self) -> torch.Tensor:
        images = self.images
        num, height, width, _ = images.shape
        if self.offsets is None and self.flips is None:
            return images.permute(0, 3, 1, 2)
        device = images.device
        rows = torch.arange(self.size[0], device=device).expand(num, -1)
        columns = torch.arange(self.size[1], device=device).expand(num, -1)
        if self.flips is not None:
            # Cropped, then mirrored: the crop's last column comes first.
            columns = torch.where(self.flips[:, None], columns.flip(1),
                                  columns)
        if self.offsets is not None:
            rows = rows + self.offsets[:, :1]
            columns = columns + self.offsets[:, 1:]
        outside = ((rows < 0) | (rows >= height))[:, :, None] | (
            (columns < 0) | (columns >= width))[:, None]
        rows = rows.clamp(0, height - 1)[:, :, None]
        columns = columns.clamp(0, width - 1)[:, None]
        first = torch.arange(num, device=device)[:, None, None] * height
        pixels = ((first + rows) * width + columns).flatten()
        cut = images.reshape(-1, 3).index_select(0, pixels)
        if any(self.pad_val):
            pad = to_device(
                torch.tensor(self.pad_val, dtype=cut.dtype), device)
            cut = torch.where(outside.flatten()[:, None], pad, cut)
        else:
            cut = cut.masked_fill_(outside.flatten()[:, None], 0)
        return cut.view(num, *self.size, 3).permute(0, 3, 1, 2)
