# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch

from mmdgkd.methods.low_bit.quantizers.functions import (level_range,
                                                         optimal_step,
                                                         quantize,
                                                         round_through,
                                                         scale_gradient)


def gradients(values, step, *levels, **kwargs):
    x = torch.tensor(values, requires_grad=True)
    step = torch.tensor(step, requires_grad=True)
    quantize(x, step, *levels, **kwargs).sum().backward()
    return x.grad.tolist(), step.grad


@pytest.mark.parametrize('bits, signed, levels', [(2, True, (-1, 1)),
                                                  (3, True, (-3, 3)),
                                                  (8, True, (-127, 127)),
                                                  (2, False, (0, 3)),
                                                  (8, False, (0, 255))])
def test_levels_of_bits(bits, signed, levels):
    assert level_range(bits, signed) == levels


def test_values_go_to_the_nearest_level():
    x, step = torch.tensor([-3., -.6, -.4, 0., .7, 1.6]), torch.tensor(1.)
    assert quantize(x, step, -1, 1).tolist() == [-1, -1, 0, 0, 1, 1]
    assert quantize(x, step / 2, 0, 3).tolist() == [0, 0, 0, 0, .5, 1.5]
    assert quantize(x, step / 2, -3,
                    3).tolist() == [-1.5, -.5, -.5, 0, .5, 1.5]


def test_gradients_pass_straight_and_those_of_the_step_are_of_lsq():
    """-1.5 and 1.7 are beyond; 0.3 becomes 0 and 0.8 becomes 1."""
    x, step = gradients([-1.5, .3, .8, 1.7], 1., -1, 1)
    assert x == [0, 1, 1, 0]
    assert step == pytest.approx(-1 + (0 - .3) + (1 - .8) + 1)
    x, step = gradients([-1.5, .3, .8, 1.7], 1., -1, 1, clip_gradient=False)
    assert x == [1, 1, 1, 1]
    assert step == pytest.approx(-1 + 0 + 1 + 1)


@pytest.mark.parametrize('clip', [False, True])
def test_results_are_integers_times_the_step_to_the_bit(clip):
    torch.manual_seed(0)
    x, step = torch.randn(1000), torch.tensor(.0377)
    found = quantize(x, step, -7, 7, clip)
    levels = (found / step).round()
    assert torch.equal(levels * step, found) and len(levels.unique()) == 15


def test_rounding_and_scaling_leave_value_and_gradient():
    x = torch.tensor([.4, 1.6], requires_grad=True)
    rounded = round_through(x)
    assert rounded.tolist() == [0, 2]
    (rounded.sum() + scale_gradient(x, .5).sum()).backward()
    assert x.grad.tolist() == [1.5, 1.5]


def test_the_optimal_ternary_step_by_hand():
    """Of 4, 3, 1: k=1 gains 16, k=2 49/2, k=3 64/3; so 7/2."""
    x = torch.tensor([[4., -1., -3.], [1., 0., 0.]])
    assert optimal_step(x[0], -1, 1) == 3.5
    steps = optimal_step(x, -1, 1, per_channel=True)
    assert steps.tolist() == [[3.5], [1.]]


@pytest.mark.parametrize('low, high', [(-1, 1), (-3, 3), (0, 3), (-127, 127)])
def test_no_step_of_a_grid_is_better_than_the_optimal_one(low, high):
    torch.manual_seed(0)
    x = torch.randn(2000)
    x = x.relu() if low == 0 else x

    def error(step):
        return (quantize(x, step, low, high) - x).square().sum()

    best = error(optimal_step(x, low, high))
    grid = torch.linspace(.002, 2.5, 1200)
    assert best <= 1.0001 * min(error(step) for step in grid)


def test_of_nothing_but_zeros_the_step_is_above_zero():
    for levels in ((-1, 1), (0, 15)):
        assert optimal_step(torch.zeros(4), *levels) > 0
