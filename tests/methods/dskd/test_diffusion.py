# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
import torch.nn.functional as F

from mmdgkd.methods.dskd.diffusion import (cumulative_alphas, ddim_step,
                                           guided_noise, noisy)


def test_levels_by_hand():
    found = cumulative_alphas(3, .1, .3)
    assert found.tolist() == pytest.approx([.9, .9 * .8, .9 * .8 * .7])
    # DDPM's: almost nothing is left at the end.
    found = cumulative_alphas()
    assert len(found) == 1000 and (found.diff() < 0).all()
    assert found[-1] == pytest.approx(4.0e-5, rel=.02)


def test_a_step_back_by_the_true_noise():
    torch.manual_seed(0)
    maps, noise = torch.randn(2, 2, 3, 4, 4).unbind()
    alpha, before = torch.tensor(.3), torch.tensor(.8)
    start = noisy(maps, noise, alpha)
    wanted = .8**.5 * maps + .2**.5 * noise
    torch.testing.assert_close(ddim_step(start, noise, alpha, before), wanted)
    torch.testing.assert_close(
        ddim_step(start, noise, alpha, torch.tensor(1.)), maps)


@pytest.mark.parametrize('bias', [None, torch.tensor([.5, -1., 0., 2.])])
def test_guidance_is_the_gradient_of_the_classifier(bias):
    torch.manual_seed(0)
    maps = torch.randn(5, 3, 2, 2, requires_grad=True)
    noise, weight = torch.randn(5, 3, 2, 2), torch.randn(4, 3)
    mean, deviation = torch.randn(3), torch.rand(3) + .5
    labels, alpha = torch.tensor([0, 1, 2, 3, 0]), torch.tensor(.36)
    features = (maps * deviation[:, None, None] + mean[:, None, None]).mean(
        (2, 3))
    chance = F.linear(features, weight, bias).log_softmax(1)
    chance[torch.arange(5), labels].sum().backward()
    found = guided_noise(maps.detach(), noise, alpha, labels, mean, deviation,
                         weight, bias, 2.)
    torch.testing.assert_close(found, noise - 2 * .8 * maps.grad)
