# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.methods.low_bit.cosine_loss import CosineLoss, cosine_loss


def test_by_hand():
    """Logits (3, 4) and (4, 3): 24/25; the others are the same."""
    student = torch.tensor([[3., 4.], [1., 2.]])
    teacher = torch.tensor([[4., 3.], [2., 4.]])
    found = cosine_loss(student, teacher, of='logits')
    assert float(found) == pytest.approx((1 - .96) / 2)


def test_of_probabilities_and_their_temperature():
    """Odds 1 to 2 and 2 to 1, at half the logits of 1 to 4 and 4 to 1."""
    student = torch.tensor([[0., math.log(4)]])
    found = cosine_loss(student, -student, tau=2.)
    assert float(found) == pytest.approx(1 - 4 / 5)
    # Equal shifts of all logits are no difference.
    assert float(cosine_loss(student + 7, student)) == pytest.approx(
        0, abs=1e-6)


def test_the_module_weighs_it():
    student, teacher = torch.randn(2, 3), torch.randn(2, 3)
    loss = CosineLoss(of='logits', loss_weight=.5)(student, teacher)
    assert loss == cosine_loss(student, teacher, 'logits') / 2


@pytest.mark.parametrize('settings, message', [
    (dict(of='softmax'), "CosineLoss.of: 'softmax' is none of probs, logits"),
    (dict(tau=0), 'CosineLoss.tau: 0 should be above 0'),
])
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        CosineLoss(**settings)
