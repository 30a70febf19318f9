# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.methods.one_shot.one_shot_pruned import (OneShotPruned,
                                                     context_kd_loss)


class Net(BaseModel):
    """A linear classifier, or one with a hidden layer."""

    def __init__(self, *sizes):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(a, b, bias=False)
                                      for a, b in zip(sizes, sizes[1:])))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.layers(inputs)
        if mode == 'loss':
            return dict(loss=F.cross_entropy(logits, data_samples))
        return logits


def softmax(*logits):
    total = sum(map(math.exp, logits))
    return [math.exp(logit) / total for logit in logits]


def test_the_context_loss_by_hand():
    """Logits of mean 0 and deviation 1, whatever their scale."""
    student = torch.tensor([[1., 0., -1.]])
    teacher = torch.tensor([[0., 0., 3.]])
    q = softmax(.5, 0., -.5)
    root = math.sqrt(3)
    p = softmax(-1 / root / 2, -1 / root / 2, 2 / root / 2)
    forward = sum(a * math.log(a / b) for a, b in zip(p, q))
    backward = sum(b * math.log(b / a) for a, b in zip(p, q))
    found = context_kd_loss(student, dict(a=teacher), tau=2.)
    assert float(found) == pytest.approx(4 * forward, rel=1e-5)
    found = context_kd_loss(7 * student + 3, dict(a=teacher), 2., reverse=.25)
    wanted = 4 * (.75 * forward + .25 * backward)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    # Of two teachers the mean; one is the student itself.
    both = dict(a=teacher, b=student)
    found = context_kd_loss(student, both, tau=2.)
    assert float(found) == pytest.approx(2 * forward, rel=1e-5)
    assert float(context_kd_loss(student, {})) == 0


def test_gradients_by_hand():
    """Of the cross-entropy: (p - 1[y]) x, summed over the batches."""
    net = Net(2, 2)
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.eye(2))
    model = OneShotPruned(net, alpha=.5)
    batches = [(torch.tensor([[1., 2.]]), torch.tensor([0])),
               (torch.tensor([[3., 0.]]), torch.tensor([1]))]
    found = model.gradients(batches, {})['layers.0']
    (a, b), (c, d) = softmax(1., 2.), softmax(3., 0.)
    wanted = torch.tensor([[(a - 1) * 1 + c * 3, (a - 1) * 2],
                           [b * 1 + (d - 1) * 3, b * 2]])
    torch.testing.assert_close(found, wanted)
    assert net.layers[0].weight.grad is None and net.training


def test_teachers_are_the_context():
    torch.manual_seed(0)
    net, teacher = Net(4, 5, 3), Net(4, 3)
    model = OneShotPruned(net, alpha=.25, tau=3., reverse=.5)
    batch = torch.randn(6, 4), torch.tensor([0, 1, 2] * 2)
    found = model.gradients([batch], dict(t=teacher))
    loss = .75 * net(
        *batch, mode='loss')['loss'] + .25 * context_kd_loss(
            net(batch[0]), dict(t=teacher(batch[0])), 3., .5)
    loss.backward()
    for name, weight in model.weights():
        torch.testing.assert_close(found[name], weight.grad)
    assert teacher.layers[0].weight.grad is not None  # by this test alone


def test_one_threshold_for_all_layers():
    model = OneShotPruned(Net(2, 2, 3), sparsity=.5)
    scores = {
        'layers.0': torch.tensor([[9., 8.], [7., .1]]),
        'layers.1': torch.tensor([[6., .2], [.3, .4], [.5, 5.]])
    }
    before = copy.deepcopy(model.architecture.state_dict())
    model.prune(scores)
    assert model.is_pruned
    for (name, weight), count in zip(model.weights(), (3, 2)):
        kept = scores[name] > 1
        assert torch.equal(model.mask(name), kept)
        assert torch.equal(weight, before[f'{name}.weight'] * kept)
        # No negative zero, which has other bits.
        assert not weight[~kept].signbit().any()
        assert model.kept()[name] == (count, weight.numel())


@pytest.mark.parametrize('optimizer', [
    lambda weights: torch.optim.SGD(
        weights, .1, momentum=.9, weight_decay=.1, nesterov=True),
    lambda weights: torch.optim.AdamW(weights, .1),
])
def test_what_is_pruned_stays_so(optimizer):
    torch.manual_seed(0)
    model = OneShotPruned(Net(4, 8, 3), sparsity=.75)
    model.prune({name: weight.abs() for name, weight in model.weights()})
    before = copy.deepcopy(model.state_dict())
    model.mask_gradients()
    optimizer = optimizer(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        inputs, labels = torch.randn(6, 4), torch.tensor([0, 1, 2] * 2)
        model(inputs, labels, mode='loss')['loss'].backward()
        optimizer.step()
    for name, weight in model.weights():
        mask = model.mask(name)
        assert torch.equal(weight != 0, mask)
        old = before[f'architecture.{name}.weight']
        assert not torch.equal(weight[mask], old[mask])


def test_a_copy_has_masks_of_its_own():
    model = OneShotPruned(Net(2, 3), sparsity=.5)
    other = copy.deepcopy(model)
    other.prune({'layers.0': torch.arange(6.).view(3, 2)})
    assert int(other.mask('layers.0').sum()) == 3
    assert model.mask('layers.0').all() and not model.is_pruned
    # And what is read from a file.
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.mask('layers.0'), other.mask('layers.0'))


@pytest.mark.parametrize('change, message', [
    (dict(sparsity=1), 'sparsity: 1 must be 0 or more, and below 1'),
    (dict(sparsity=True), 'sparsity: True must be'),
    (dict(alpha=1.5), 'alpha: 1.5 must be 0 or more, and at most 1'),
    (dict(reverse=-1), 'reverse: -1 must be'),
    (dict(tau=0), 'tau: 0 must be above 0'),
    (dict(criterion='random'), "criterion: 'random' is none of context, "),
    (dict(batches=0), 'batches: 0 must be an integer, 1 or more, or None'),
])
def test_wrong_settings(change, message):
    with pytest.raises(ConfigError, match=re.escape(f'model.{message}')):
        OneShotPruned(Net(2, 2), **change)


def test_frozen_layers_are_not_pruned():
    net = Net(2, 3, 2)
    net.layers[0].weight.requires_grad_(False)
    model = OneShotPruned(net, sparsity=.5)
    assert model.layers == ('layers.1', )
    model.gradients([(torch.randn(2, 2), torch.tensor([0, 1]))], {})
    model.mask_gradients()


def test_networks_that_it_cannot_prune():
    with pytest.raises(ConfigError, match='has no convolution and no linear'):
        OneShotPruned(Net(2))
    with pytest.raises(ConfigError, match='OneShotPruned is an algorithm'):
        OneShotPruned(OneShotPruned(Net(2, 2)))


def test_an_importance_that_is_not_finite():
    with pytest.raises(ConfigError, match='is not finite; begin from a'):
        OneShotPruned(Net(2, 1)).prune(
            {'layers.0': torch.tensor([[1., math.nan]])})
