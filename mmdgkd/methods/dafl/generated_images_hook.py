# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Optional

import numpy as np
import torch
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import network_of, unwrapped
from .dense_dafl import DenseDAFL


def image_grid(images: torch.Tensor, columns: int, scale: int) -> np.ndarray:
    """Put images side by side, with a line of grey between them.

    Args:
        images (torch.Tensor): Shape (N, C, H, W), of 1 or 3 channels, with
            values from 0 to 255; others are clipped.
        columns (int): So many in a row; what the last row lacks is grey.
        scale (int): Each pixel becomes so many in height and width.

    Returns:
        np.ndarray: uint8 of shape (height, width, 3).
    """
    pixels = images.detach().float().round().clamp(0, 255).byte().cpu()
    pixels = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    number, height, width, _ = pixels.shape
    rows = -(-number // columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3),
                   128, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (height + 1) * (index // columns), (width + 1) * (
            index % columns)
        grid[top:top + height, left:left + width] = image
    return grid


@HOOKS.register_module()
class GeneratedImagesHook(Hook):
    """Shows what the generator of :class:`DenseDAFL` makes.

    The first images of a step, as the teachers have seen them, go to the
    visualizer as one grid, ``generated``: with MMEngine's ``LocalVisBackend``
    a PNG in the folder of the stage, ``<time>/vis_data/vis_image``.

    Args:
        interval (int, optional): Every so many iterations, and at the last
            one. Defaults to None: at the end of each epoch; of a training in
            iterations at the end alone.
        num_images (int): So many at most. Defaults to 64.
        columns (int): In rows of so many. Defaults to 8.

    Raises:
        ConfigError: If one of these is no number from 1 on.
    """

    # Images of fewer pixels are enlarged.
    _HEIGHT = 32

    def __init__(self,
                 interval: Optional[int] = None,
                 num_images: int = 64,
                 columns: int = 8) -> None:
        for key, value in dict(
                interval=interval or 1, num_images=num_images,
                columns=columns).items():
            if not (type(value) is int and value > 0):
                raise ConfigError(f'custom_hooks.GeneratedImagesHook.{key}: '
                                  f'{value!r} must be an integer, 1 or '
                                  'more')
        self.interval = interval
        self.num_images = num_images
        self.columns = columns

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Show the images of this iteration, if it is time."""
        model = unwrapped(runner.model)
        if not isinstance(model, DenseDAFL) or model.images is None:
            return
        if self.interval is None:
            is_time = self.end_of_epoch(runner.train_dataloader, batch_idx)
        else:
            is_time = self.every_n_train_iters(runner, self.interval)
        if is_time or self.is_last_train_iter(runner):
            images = _pixels(model, model.images[:self.num_images])
            scale = max(1, self._HEIGHT // images.shape[2])
            # MMEngine shows it on the first rank alone.
            runner.visualizer.add_image(
                'generated',
                image_grid(images, self.columns, scale),
                step=runner.iter + 1)


def _pixels(model: DenseDAFL, images: torch.Tensor) -> torch.Tensor:
    """Take back what the data preprocessor would have done to pixels."""
    for owner in (model, network_of(model)):
        preprocessor = getattr(owner, 'data_preprocessor', None)
        if getattr(preprocessor, '_enable_normalize', False):
            return images * preprocessor.std + preprocessor.mean
    return images
