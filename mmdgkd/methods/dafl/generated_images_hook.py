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
    """Arrange images in a grid, with grey lines between them.

    Args:
        images (torch.Tensor): Shape (N, C, H, W), of 1 or 3 channels, with
            values from 0 to 255; others are clipped.
        columns (int): Images in a row; the rest of the last row is grey.
        scale (int): Enlargement of each pixel, in height and width.

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
    """Visualizes images of the generator of :class:`DenseDAFL`.

    The first images of a step, the inputs of the teachers, go to the
    visualizer as one grid, ``generated``: with MMEngine's ``LocalVisBackend``
    a PNG in the folder of the stage, ``<time>/vis_data/vis_image``.

    Args:
        interval (int, optional): Iterations from one grid to the next; there
            is one for the last iteration, too. Defaults to None: at the end of
            each epoch; at the end alone of a training in iterations.
        num_images (int): The most images of a grid. Defaults to 64.
        columns (int): Images in a row. Defaults to 8.

    Raises:
        ConfigError: If one of these is no integer of 1 or more.
    """

    # Smaller images are enlarged.
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
        """Show the images, at the interval."""
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
            # MMEngine does it on the first rank alone.
            runner.visualizer.add_image(
                'generated',
                image_grid(images, self.columns, scale),
                step=runner.iter + 1)


def _pixels(model: DenseDAFL, images: torch.Tensor) -> torch.Tensor:
    """Undo the normalization of the data preprocessor."""
    for owner in (model, network_of(model)):
        preprocessor = getattr(owner, 'data_preprocessor', None)
        if getattr(preprocessor, '_enable_normalize', False):
            return images * preprocessor.std + preprocessor.mean
    return images
