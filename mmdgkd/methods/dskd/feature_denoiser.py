# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import torch
from torch import nn


class FeatureDenoiser(nn.Module):
    """Predicts the noise in feature maps.

    As light as that of DiffKD (arXiv 2305.15712), from whose code the parts
    are: an embedding of the step, two residual bottlenecks, a 1x1 convolution.
    It normalizes by groups instead of batches: maps of the teacher and of the
    student differ, and it runs on both.

    Args:
        channels (int): C, of the maps; 4 or more.
        steps (int): T, the steps of the diffusion. Defaults to 1000.
    """

    def __init__(self, channels: int, steps: int = 1000) -> None:
        super().__init__()
        self.step = nn.Embedding(steps, channels)
        self.blocks = nn.ModuleList(_bottleneck(channels) for _ in range(2))
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Predict the noise.

        Args:
            maps (torch.Tensor): Noisy maps, shape (N, C, H, W).
            step (torch.Tensor): Their steps, from 0, int64 of shape (N, ).

        Returns:
            torch.Tensor: Shape (N, C, H, W).
        """
        maps = maps + self.step(step)[:, :, None, None]
        for block in self.blocks:
            maps = maps + block(maps)
        return self.last(maps)


def _bottleneck(channels: int) -> nn.Module:
    inner = max(1, channels // 4)
    return nn.Sequential(
        nn.Conv2d(channels, inner, 1, bias=False), nn.GroupNorm(1, inner),
        nn.ReLU(inplace=True),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.GroupNorm(1, inner), nn.ReLU(inplace=True),
        nn.Conv2d(inner, channels, 1))
