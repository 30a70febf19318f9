# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.methods.dafl.generated_images_hook import (GeneratedImagesHook,
                                                       image_grid)


def test_a_grid_by_hand():
    images = torch.tensor([[10., 300.], [-5., 99.6]])[None, None]
    grid = image_grid(torch.cat([images, images + 1, images + 2]), 2, 1)
    one = np.array([[10, 255], [0, 100]])
    expected = np.full((5, 5), 128)
    expected[:2, :2] = one
    expected[:2, 3:] = [[11, 255], [0, 101]]
    expected[3:, :2] = [[12, 255], [0, 102]]
    assert grid.shape == (5, 5, 3) and grid.dtype == np.uint8
    assert all((grid[..., channel] == expected).all() for channel in range(3))
    large = image_grid(images, 8, 3)
    assert large.shape == (6, 8 * 7 - 1, 3)
    assert (large[:3, :3] == 10).all() and (large[:, 6:] == 128).all()


@pytest.mark.parametrize('key', ['interval', 'num_images', 'columns'])
def test_what_is_no_number_is_refused(key):
    with pytest.raises(
            ConfigError,
            match=f'^custom_hooks.GeneratedImagesHook.{key}: -1 must be'):
        GeneratedImagesHook(**{key: -1})
