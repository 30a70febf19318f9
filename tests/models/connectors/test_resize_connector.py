# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmrazor.registry import MODELS

from mmdgkd import ConfigError


def make(size):
    return MODELS.build(dict(type='mmrazor.ResizeConnector', size=size))


def test_a_smaller_map_is_the_mean_of_parts():
    maps = torch.arange(16.).reshape(1, 1, 4, 4)
    assert make(2)(maps).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert make((1, 2))(maps).flatten().tolist() == [6.5, 8.5]


def test_a_larger_map_is_interpolated():
    maps = torch.tensor([[0., 4.]]).reshape(1, 1, 1, 2)
    assert make((1, 4))(maps).flatten().tolist() == [0, 1, 3, 4]
    # Larger in one direction, smaller in the other.
    assert make((2, 1))(maps).shape == (1, 1, 2, 1)


def test_a_map_of_that_size_stays():
    maps = torch.randn(2, 3, 4, 5)
    assert make((4, 5))(maps) is maps


@pytest.mark.parametrize('size', [0, (2, 3, 4), (2, -1), 1.5, (2.0, 2)])
def test_what_is_no_size(size):
    with pytest.raises(
            ConfigError, match='ResizeConnector.size: is .*integers'):
        make(size)


def test_what_is_no_map():
    with pytest.raises(ConfigError, match=r'\(N, C, H, W\), not \(2, 10\)'):
        make(2)(torch.randn(2, 10))
