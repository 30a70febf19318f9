# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import torch
from torch import nn

from mmdgkd.models.utils.folding import fold_batch_norms


class NormAct(nn.BatchNorm2d):
    """As timm's ``BatchNormAct2d``."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.SiLU()

    def forward(self, inputs):
        return self.act(self.drop(super().forward(inputs)))


def test_an_activation_in_a_normalization_stays():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), NormAct(4),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), NormAct(4))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, .5, 2)
    network.double().eval()
    folded = fold_batch_norms(copy.deepcopy(network))
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images))
    # The last one has no convolution of its own.
    assert [type(part).__name__ for part in folded
            ] == ['Conv2d', 'Sequential', 'Sequential', 'NormAct']
