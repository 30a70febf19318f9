# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from torch import nn

from mmdgkd.utils.meta import QuickMeta


def network(channels=4, device='meta'):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(144, 2)).to(device)


def reached(outputs):
    """How many parameters a backward would reach."""
    nodes, found = [outputs.grad_fn], set()
    while nodes:
        node = nodes.pop()
        found.update([node] if hasattr(node, 'variable') else [])
        nodes += [other for other, _ in node.next_functions if other]
    return len(found)


def test_shapes_and_paths_of_gradients_are_those_without_it():
    images, net = torch.empty(2, 3, 8, 8, device='meta'), network()
    usual = net(images)
    with QuickMeta():
        quick = net(images)
    assert quick.shape == usual.shape and quick.is_meta
    assert reached(quick) == reached(usual) == 6


def test_norms_of_other_channels_are_refused():
    with QuickMeta(), pytest.raises(RuntimeError, match='of 5 channels got 4'):
        network(5)(torch.empty(2, 3, 8, 8, device='meta'))


def test_real_tensors_are_computed_as_ever():
    images, net = torch.rand(2, 3, 8, 8), network(device='cpu')
    usual = net(images)
    with QuickMeta():
        assert torch.equal(net(images), usual)
