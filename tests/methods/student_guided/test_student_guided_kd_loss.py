# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
import re

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.methods.student_guided.student_guided_kd_loss import (
    StudentGuidedKDLoss, student_guided_mean)
from mmdgkd.models.losses.dense_kd_loss import dense_kd_loss

# Cosines with the first student 1, 0 and -1, with the second 0, 1 and 0.
STUDENT = torch.tensor([[1., 0.], [0., 2.]])
PASSES = torch.tensor([[[2., 0.], [3., 0.]], [[0., 1.], [0., 4.]],
                       [[-1., 0.], [-2., 0.]]])


def test_the_nearest_pass_of_each_image():
    found = student_guided_mean(STUDENT, PASSES, keep=.1)
    assert found.tolist() == [[2., 0.], [0., 4.]]


def test_weights_of_agreement_by_hand():
    # Two of three: weights e / (e + 1) and 1 / (e + 1) for the first.
    found = student_guided_mean(STUDENT[:1], PASSES[:, :1], keep=.5)
    weight = math.e / (math.e + 1)
    assert found[0].tolist() == pytest.approx([2 * weight, 1 - weight])
    found = student_guided_mean(STUDENT, PASSES, keep=1., sharpness=0)
    torch.testing.assert_close(found, PASSES.mean(0))


@pytest.mark.parametrize('passes, keep, count', [(100, .1, 10), (10, .1, 1),
                                                 (5, .1, 1), (30, .1, 3),
                                                 (11, .1, 2), (100, .07, 7)])
def test_how_many_are_kept(passes, keep, count):
    outputs = torch.eye(passes)[:, None]
    student = torch.arange(passes, 0., -1)[None]
    found = student_guided_mean(student, outputs, keep=keep, sharpness=0)
    assert found[0].count_nonzero() == count
    assert found[0, :count].tolist() == pytest.approx([1 / count] * count)


def test_kl_goes_by_the_distributions():
    # The cosine is that of direction, to which 10 is as near as 1.
    student = torch.tensor([[1., 0.]])
    passes = torch.tensor([[[10., 0.]], [[1., .1]]])
    cosine, kl = (
        student_guided_mean(student, passes, agreement=agreement)
        for agreement in ('cosine', 'kl'))
    assert torch.equal(cosine, passes[0]) and torch.equal(kl, passes[1])
    logits = torch.log(torch.tensor([[.5, .5]]))
    passes = torch.log(torch.tensor([[[.5, .5]], [[.75, .25]]]))
    away = .75 * math.log(1.5) + .25 * math.log(.5)
    weight = 1 / (1 + math.exp(-away))
    found = student_guided_mean(logits, passes, 'kl', keep=1.)
    wanted = weight * passes[0] + (1 - weight) * passes[1]
    torch.testing.assert_close(found, wanted)


def test_the_similarity_of_labels_that_do_not_exclude_each_other():
    """The nearest pass by sigmoid, not the one with the same softmax."""
    student = torch.tensor([[2., -2., 1.]])
    passes = torch.stack([student + 5, student + .5])
    near = dict(agreement='kl', keep=.5)
    assert torch.allclose(
        student_guided_mean(student, passes, **near), passes[0])
    assert torch.equal(
        student_guided_mean(student, passes, **near, activation='sigmoid'),
        passes[1])


def test_the_loss_is_kd_from_that_mean():
    torch.manual_seed(0)
    student = torch.randn(4, 5, requires_grad=True)
    passes = {name: torch.randn(20, 4, 5) for name in ('a', 'b')}
    loss = StudentGuidedKDLoss(tau=4., form='averaged', loss_weight=.9)
    found = loss(student, passes)
    means = {
        name: student_guided_mean(student, outputs, tau=4.)
        for name, outputs in passes.items()
    }
    wanted, _ = dense_kd_loss(student, means, 4., loss_weight=.45)
    torch.testing.assert_close(found, wanted)
    assert set(loss.terms) == {'a', 'b'}
    grads = [torch.autograd.grad(each, student)[0] for each in (found, wanted)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('change, message', [
    (dict(agreement='l2'),
     "agreement: 'l2' is none of ('cosine', 'kl', 'dot')"),
    (dict(keep=0), 'keep: 0 must be above 0, and at most 1'),
    (dict(keep=1.5), 'keep: 1.5 must be above 0, and at most 1'),
    (dict(sharpness=-1), 'sharpness: -1 must be 0 or more'),
])
def test_wrong_settings(change, message):
    with pytest.raises(
            ConfigError, match=re.escape(f'StudentGuidedKDLoss.{message}')):
        StudentGuidedKDLoss(**change)


def test_a_teacher_of_a_single_pass():
    with pytest.raises(ConfigError, match='preds_T: "a" has one pass'):
        StudentGuidedKDLoss()(STUDENT, dict(a=STUDENT))
