# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""DSKD: the student's own features, denoised, teach it."""
from .diffusion import cumulative_alphas, ddim_step, guided_noise
from .dskd_loss import DSKDLoss, lsh_loss
from .feature_denoiser import FeatureDenoiser

__all__ = [
    'DSKDLoss', 'FeatureDenoiser', 'cumulative_alphas', 'ddim_step',
    'guided_noise', 'lsh_loss'
]
