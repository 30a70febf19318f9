# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Levels of 8 bits, as programs have them."""
import pytest
import torch
from torch import nn
from torch.ao.quantization import (FakeQuantize, MinMaxObserver,
                                   PerChannelMinMaxObserver)
from torch.nn.utils import parametrize

from mmdgkd.methods.qat.fixed_graph import (FixedFakeQuantize, FixedLevels,
                                            type_of_levels)


def learned(data, kind=torch.qint8, observer=MinMaxObserver, **kwargs):
    """PyTorch's fake quantization with the ranges of some data."""
    found = FakeQuantize(observer.with_args(dtype=kind, **kwargs))
    found(data)
    found.disable_observer()
    return found


@pytest.mark.parametrize('low, high, kind', [
    (0, 255, torch.uint8),
    (0, 15, torch.uint8),
    (-128, 127, torch.int8),
    (-7, 7, torch.int8),
    (-1, 200, None),
    (0, 65535, None),
])
def test_the_type_of_levels(low, high, kind):
    assert type_of_levels(low, high) is kind


@pytest.mark.parametrize('kind, low, high', [
    (torch.quint8, 0, 255),
    (torch.quint8, 0, 15),
    (torch.qint8, -128, 127),
    (torch.qint8, -7, 7),
    (torch.qint32, -500, 500),
])
def test_activations_as_in_training(kind, low, high):
    """To the bit, also outside of the range; PyTorch's formula by hand."""
    torch.manual_seed(0)
    data = torch.randn(1000) + .5
    rounding = learned(data, kind, quant_min=low, quant_max=high)
    far = torch.cat([data, torch.tensor([-1e6, -5., 0., 5., 1e6])])
    found = FixedFakeQuantize(rounding)(far)
    assert torch.equal(found, rounding(far))
    scale, zero = float(rounding.scale), int(rounding.zero_point)
    levels = torch.clamp((far / scale).round() + zero, low, high)
    assert torch.allclose(found, (levels - zero) * scale, atol=scale * 1.01)
    assert found.unique().numel() <= high - low + 1


@pytest.mark.parametrize('channels', [1, 6])
@pytest.mark.parametrize('observer, kind', [
    (MinMaxObserver, torch.qint8),
    (MinMaxObserver, torch.quint8),
    (PerChannelMinMaxObserver, torch.qint8),
    (PerChannelMinMaxObserver, torch.quint8),
])
def test_weights_are_levels_and_exported(observer, kind, channels):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, channels, 3).requires_grad_(False)
    low, high = (-127, 127) if kind is torch.qint8 else (0, 255)
    schemes = dict() if observer is MinMaxObserver else dict(ch_axis=0)
    rounding = learned(
        layer.weight, kind, observer, quant_min=low, quant_max=high, **schemes)
    layer.weight.data = rounding(layer.weight)
    images = torch.randn(2, 3, 8, 8)
    wanted, weight = layer(images), layer.weight.clone()
    parametrize.register_parametrization(
        layer, 'weight', FixedLevels(rounding, layer.weight), unsafe=True)
    levels = layer.parametrizations.weight.original0
    assert levels.dtype == torch.int8 and levels.shape == weight.shape
    assert torch.equal(layer.weight, weight)
    program = torch.export.export(layer, (images, )).module()
    assert torch.allclose(program(images), wanted, atol=1e-6)
