# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmrazor.registry import MODELS

from mmdgkd.models.connectors.standardize_connector import standardize


def test_by_hand():
    """1, 2, 3 have the mean 2 and the sample standard deviation 1."""
    logits = torch.tensor([[1., 2., 3.], [10., 20., 30.]])
    wanted = torch.tensor([[-1., 0., 1.]] * 2)
    assert torch.allclose(standardize(logits), wanted, atol=1e-5)
    connector = MODELS.build(dict(type='mmrazor.StandardizeConnector'))
    assert torch.equal(connector(logits), standardize(logits))
    each = connector(dict(a=logits, b=logits[:, :2]))
    assert list(each) == ['a', 'b']
    assert torch.equal(each['a'], standardize(logits))
    assert torch.equal(each['b'], standardize(logits[:, :2]))


def test_equal_logits_are_no_division_by_zero():
    assert standardize(torch.full((2, 5), 7.)).tolist() == [[0.] * 5] * 2


def test_the_loss_does_not_see_how_large_the_logits_are():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 4, 10, generator=generator)
    loss = MODELS.build(dict(type='mmrazor.KLDivergence', tau=2.0))
    plain = loss(standardize(one), standardize(other)).item()
    scaled = loss(standardize(5 * one + 3), standardize(other / 4)).item()
    assert scaled == pytest.approx(plain, rel=1e-4)
    assert loss(one, other).item() != pytest.approx(
        loss(5 * one, other).item(), rel=0.1)
