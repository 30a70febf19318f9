# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmrazor.registry import MODELS

from mmdgkd.methods.feed.feed_loss import feed_loss


def test_by_hand():
    """(3, 4) / 5 against (1, 0), and (0, 2) / 2 against itself."""
    one = torch.tensor([[3., 4.], [0., 2.]]).reshape(2, 2, 1, 1)
    other = torch.tensor([[7., 0.], [0., 1.]]).reshape(2, 2, 1, 1)
    wanted = (abs(3 / 5 - 1) + 4 / 5 + 0) / 2
    assert feed_loss(one, other).item() == pytest.approx(wanted)
    loss = MODELS.build(dict(type='mmrazor.FEEDLoss', loss_weight=10.0))
    assert loss(one, other).item() == pytest.approx(10 * wanted)


def test_the_norm_is_that_of_a_whole_map():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 3, 4, 5, 5, generator=generator)
    # Not of a channel, nor of the batch: each sample by itself, at any scale.
    scales = torch.tensor([1., 10., 1e-3]).reshape(3, 1, 1, 1)
    assert feed_loss(one * scales, other).item() == pytest.approx(
        feed_loss(one, other).item(), rel=1e-5)
    alone = [feed_loss(a[None], b[None]) for a, b in zip(one, other)]
    assert feed_loss(one, other).item() == pytest.approx(
        torch.stack(alone).mean().item())
    assert not torch.isclose(
        feed_loss(one * torch.rand(1, 4, 1, 1), other), feed_loss(one, other))


def test_half_precision_is_summed_in_float32():
    one = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = feed_loss(one.bfloat16(), -one.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(feed_loss(one, -one).item(), rel=1e-3)
