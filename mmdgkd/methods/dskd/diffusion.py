# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Diffusion of feature maps: noise levels, DDIM, guidance by a classifier."""
from typing import Optional

import torch
import torch.nn.functional as F


def cumulative_alphas(steps: int = 1000,
                      low: float = 1e-4,
                      high: float = 0.02) -> torch.Tensor:
    """The share of the signal's variance that is left after each step.

    DDPM (arXiv 2006.11239): the product of ``1 - beta`` so far, with beta
    rising linearly.

    Args:
        steps (int): T. Defaults to 1000.
        low (float): The first beta. Defaults to 1e-4.
        high (float): The last one. Defaults to 0.02.

    Returns:
        torch.Tensor: Shape (T, ), float32, below 1 and falling.
    """
    betas = torch.linspace(low, high, steps, dtype=torch.float64)
    return (1 - betas).cumprod(0).float()


def noisy(maps: torch.Tensor, noise: torch.Tensor,
          alpha: torch.Tensor) -> torch.Tensor:
    """Add noise: ``sqrt(alpha) maps + sqrt(1 - alpha) noise``.

    Args:
        maps (torch.Tensor): Shape (N, C, H, W).
        noise (torch.Tensor): Standard normal, likewise.
        alpha (torch.Tensor): Of :func:`cumulative_alphas`, a scalar or shape
            (N, 1, 1, 1).
    """
    return alpha.sqrt() * maps + (1 - alpha).sqrt() * noise


def ddim_step(maps: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor,
              before: torch.Tensor) -> torch.Tensor:
    """One step of DDIM without noise (arXiv 2010.02502, equation 12, eta 0).

    Args:
        maps (torch.Tensor): Noisy maps, shape (N, C, H, W).
        noise (torch.Tensor): The noise in them, as it was predicted.
        alpha (torch.Tensor): Their level, a scalar.
        before (torch.Tensor): The level of the result; 1: no noise.
    """
    clean = (maps - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    return noisy(clean, noise, before)


def guided_noise(maps: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor,
                 labels: torch.Tensor, mean: torch.Tensor,
                 deviation: torch.Tensor, weight: torch.Tensor,
                 bias: Optional[torch.Tensor], scale: float) -> torch.Tensor:
    """Predicted noise, guided to a class by the teacher's classifier.

    Classifier guidance (arXiv 2105.05233, algorithm 2):
    ``noise - scale sqrt(1 - alpha) grad log p(label | maps)``, with p the
    softmax of a linear layer on the maps' mean over all places.

    Args:
        maps (torch.Tensor): Noisy maps in units of deviations from the mean,
            shape (N, C, H, W).
        noise (torch.Tensor): The noise in them, as it was predicted.
        alpha (torch.Tensor): Their level, a scalar.
        labels (torch.Tensor): int64 of shape (N, ).
        mean (torch.Tensor): That of the teacher's maps, shape (C, ).
        deviation (torch.Tensor): Likewise.
        weight (torch.Tensor): Of the classifier, shape (K, C).
        bias (torch.Tensor, optional): Shape (K, ).
        scale (float): s, the factor of the gradient.
    """
    pooled = maps.mean((2, 3)) * deviation + mean
    chances = F.linear(pooled, weight, bias).softmax(1)
    gradient = (weight[labels] - chances @ weight) * deviation
    gradient = gradient / (maps.shape[2] * maps.shape[3])
    return noise - scale * (1 - alpha).sqrt() * gradient[:, :, None, None]
