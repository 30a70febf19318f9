# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
import re

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.methods.student_guided.student_guided_feature_loss import \
    StudentGuidedFeatureLoss


def test_the_loss_by_hand():
    """Of three passes the nearest two, with weights 3/4 and 1/4."""
    student = torch.tensor([[1., 0.]])
    passes = torch.tensor([[[5 * math.log(3), 2.]], [[0., 1.]], [[-5., 0.]]])
    loss = StudentGuidedFeatureLoss(keep=.5)
    mean = .75 * 5 * math.log(3), .75 * 2 + .25 * 1
    wanted = .5 * ((1 - mean[0])**2 + mean[1]**2) / 2
    assert float(loss(student, dict(a=passes))) == pytest.approx(wanted)
    # Of two teachers the mean.
    near = student.expand(3, 1, 2)
    assert float(loss(student, dict(a=passes,
                                    b=near))) == pytest.approx(wanted / 2)
    assert float(loss(student, {})) == 0


@pytest.mark.parametrize('num_passes', [3, 10, 11, 21, 30, 100])
def test_it_is_the_published_weighting(num_passes):
    """The softmax over all passes, cut at its 90th percentile."""
    torch.manual_seed(num_passes)
    student = torch.randn(7, 5, dtype=torch.float64).float()
    passes = torch.randn(num_passes, 7, 5)
    weights = ((passes * student).sum(2) / 5).softmax(0)
    weights = torch.where(weights >= weights.quantile(.9, dim=0), weights, 0)
    weights = weights / weights.sum(0)
    target = (weights[..., None] * passes).sum(0)
    wanted = .5 * (student - target).square().mean()
    found = StudentGuidedFeatureLoss()(student, dict(a=passes))
    torch.testing.assert_close(found, wanted)


def test_gradients_are_those_of_the_student_alone():
    torch.manual_seed(0)
    student = torch.randn(4, 5, requires_grad=True)
    passes = torch.randn(30, 4, 5, requires_grad=True)
    loss = StudentGuidedFeatureLoss(loss_weight=2.)
    loss(student, dict(a=passes)).backward()
    assert passes.grad is None
    assert student.grad.abs().sum() > 0


def test_half_precision_stays_out_of_it():
    torch.manual_seed(0)
    given = torch.randn(4, 5), dict(a=torch.randn(30, 4, 5))
    wanted = StudentGuidedFeatureLoss()(*given)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(StudentGuidedFeatureLoss()(*given), wanted)


@pytest.mark.parametrize('change, message', [
    (dict(divisor=0), 'divisor: 0 must be above 0'),
    (dict(keep=0), 'keep: 0 must be above 0, and at most 1'),
])
def test_wrong_settings(change, message):
    with pytest.raises(
            ConfigError,
            match=re.escape(f'StudentGuidedFeatureLoss.{message}')):
        StudentGuidedFeatureLoss(**change)


@pytest.mark.parametrize('shape, message', [
    ((3, 2), 't_feats: "a" has one pass'),
    ((4, 3, 6), 't_feats: "a" has 6 features, the student 2'),
])
def test_features_that_do_not_fit(shape, message):
    with pytest.raises(ConfigError, match=message):
        StudentGuidedFeatureLoss()(torch.zeros(3, 2),
                                   dict(a=torch.zeros(shape)))
