# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.methods.dafl.batch_norm_gaps import (BatchNormGapLoss,
                                                 BatchNormGapsRecorder)


class Twice(nn.Module):
    """A layer of batch normalization that fails if it is told to."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.fails = False

    def forward(self, x):
        x = self.bn(x)
        if self.fails:
            raise RuntimeError('the step is repeated')
        return self.conv(x)


@pytest.fixture
def network():
    network = nn.Sequential(Twice()).eval()
    network[0].bn.running_mean.copy_(torch.tensor([1., -2.]))
    network[0].bn.running_var.copy_(torch.tensor([4., 1.]))
    return network


# The channels: 0, 2, 4, 6 with mean 3 and variance 5; 1, 1, 1, 1 with 1 and 0.
IMAGES = torch.tensor([[[[0., 2.]], [[1., 1.]]], [[[4., 6.]], [[1., 1.]]]])


def test_gaps_by_hand(network):
    recorder = BatchNormGapsRecorder('0')
    recorder.initialize(network)
    images = IMAGES.clone().requires_grad_()
    with recorder:
        network(images)
        network(images + 1)
    first, second = (recorder.get_record_data(at) for at in (0, 1))
    # The means are off by (2, 3), the variances by (1, -1).
    assert first.tolist() == pytest.approx([13**.5 + 2**.5])
    assert second.tolist() == pytest.approx([25**.5 + 2**.5])
    loss = BatchNormGapLoss(2.)(first)
    assert loss.item() == pytest.approx(2 * (13**.5 + 2**.5))
    loss.backward()
    # By the first image's first pixel: of the mean 2 / sqrt(13) / 4, of the
    # variance 1 / sqrt(2) * 2 * (0 - 3) / 4.
    assert float(images.grad[0, 0, 0, 0]) == pytest.approx(
        2 * (2 / 13**.5 / 4 - 1.5 / 2**.5))


def test_nothing_is_left_of_a_call_that_failed(network):
    recorder = BatchNormGapsRecorder('0')
    recorder.initialize(network)
    network[0].fails = True
    with recorder, pytest.raises(RuntimeError):
        network(IMAGES)
    network[0].fails = False
    network(IMAGES)
    with recorder:
        network(IMAGES)
    assert recorder.get_record_data().shape == (1, )


def test_a_network_without_statistics_is_refused(network):
    folded = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    for other in (fuse_conv_bn(folded.eval()),
                  nn.BatchNorm2d(2, track_running_stats=False)):
        with pytest.raises(
                ConfigError, match='set model.teacher_options.fold'
                '_bn=False'):
            BatchNormGapsRecorder('0').initialize(nn.Sequential(other))
