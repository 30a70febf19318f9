# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine import dist
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.step_clock import StepClock
from mmdgkd.structures.mixes import refuse_mixed_labels
from mmdgkd.utils.random import noise_seed
from .diffusion import cumulative_alphas, ddim_step, guided_noise, noisy
from .feature_denoiser import FeatureDenoiser

# In place of a rank, for what is drawn once for all of them.
_DIRECTIONS = 1 << 32


def lsh_loss(s_feats: torch.Tensor, t_feats: torch.Tensor,
             weight: torch.Tensor, bias: torch.Tensor,
             chosen: torch.Tensor) -> torch.Tensor:
    """Mimic features by their values and by locality-sensitive hashes.

    ``MSE(f_S, f_T) + BCE(W f_S + b, 1[W f_T + b > 0])`` ("Distilling knowledge
    by mimicking features", arXiv 2011.01424, and its code), the mean over the
    chosen samples.

    Args:
        s_feats (torch.Tensor): Of the student, shape (N, D).
        t_feats (torch.Tensor): What it mimics, shape (N, D).
        weight (torch.Tensor): W, the directions of the hashes, shape (M, D).
        bias (torch.Tensor): b, shape (M, ).
        chosen (torch.Tensor): Bool of shape (N, ).

    Returns:
        torch.Tensor: A scalar; 0 if none is chosen.
    """
    t_feats = t_feats.detach()
    hashes = (F.linear(t_feats, weight, bias) > 0).float()
    terms = F.mse_loss(
        s_feats, t_feats,
        reduction='none').mean(1) + F.binary_cross_entropy_with_logits(
            F.linear(s_feats, weight, bias), hashes, reduction='none').mean(1)
    return (terms * chosen).sum() / chosen.sum().clamp_min(1)


@MODELS.register_module()
class DSKDLoss(nn.Module):
    """Teacher-guided self-distillation by a diffusion model (DSKD).

    arXiv 2602.02107. A denoiser learns to predict the noise in the maps of the
    teacher (DDPM). It then denoises the *student's* maps, guided by the
    classifier of the teacher to the label of each image, and the result, which
    is the student's own features made more like the teacher's, teaches the
    student by :func:`lsh_loss`. So their channels and places need not be
    aligned with the teacher's by a regression. The code is not known; what the
    abstract leaves open is a reading, or our choice (*):

    - maps are in units of the teacher's deviations from its mean, channel by
      channel, both from the first batch of all processes (*);
    - the student's maps get the noise of step number ``start`` (*), and are
      denoised by DDIM in ``denoising_steps`` equal strides;
    - the hashes have 32 times as many directions as features, drawn with the
      deviation of the classifier's weights, and a threshold at their median,
      here over the first batch (*);
    - only images that the teacher classifies rightly count.

    Noise, steps and directions are functions of (seed, iteration, rank). The
    denoiser and the rest are part of the checkpoints, not of the trained
    network.

    Args:
        channels (int): C, of the teacher's maps, and of the student's.
        loss_weight (float): The weight of :func:`lsh_loss`. Defaults to 1.0.
        denoiser_weight (float): That of the denoiser's own loss, in whose
            gradient the student has no part. Defaults to 1.0.
        hashes (int, optional): M, the number of hashes. Defaults to None: 32
            times the channels.
        start (int): The step, counted from 1, from which the student's maps
            are denoised. Defaults to 300.
        denoising_steps (int): Steps of DDIM. Defaults to 5.
        guidance (float): s, see :func:`guided_noise`. Defaults to 1.0.
        steps (int): T, the steps of the diffusion. Defaults to 1000.
        seed (int, optional): The seed of all that is drawn. Defaults to None:
            that of the Runner.

    Attributes:
        terms (dict[str, torch.Tensor]): ``hashes`` and ``denoiser``, the two
            losses before their weights, for logging.

    Raises:
        ConfigError: For a value out of its range; in a forward, for maps that
            do not fit.
    """

    def __init__(self,
                 channels: int,
                 loss_weight: float = 1.0,
                 denoiser_weight: float = 1.0,
                 hashes: Optional[int] = None,
                 start: int = 300,
                 denoising_steps: int = 5,
                 guidance: float = 1.0,
                 steps: int = 1000,
                 seed: Optional[int] = None) -> None:
        super().__init__()
        hashes = 32 * channels if hashes is None else hashes
        for key, value, top in (('channels', channels, None), ('hashes',
                                                               hashes, None),
                                ('steps', steps, None), ('start', start,
                                                         steps),
                                ('denoising_steps', denoising_steps, start)):
            if type(value) is not int or value < 1 or (top and value > top):
                raise ConfigError(
                    f'DSKDLoss.{key}: {value!r} must be an integer, 1 or more'
                    f'{f", and at most {top}" if top else ""}')
        if not guidance >= 0:
            raise ConfigError(f'DSKDLoss.guidance: {guidance!r} must be 0 or '
                              'more')
        self.loss_weight = loss_weight
        self.denoiser_weight = denoiser_weight
        self.guidance = guidance
        self.start = start
        self.denoising_steps = denoising_steps
        self.denoiser = FeatureDenoiser(channels, steps)
        self.register_buffer(
            'alphas', cumulative_alphas(steps), persistent=False)
        # From the first batch.
        self.register_buffer('mean', torch.zeros(channels))
        self.register_buffer('deviation', torch.zeros(channels))
        self.register_buffer('hash_weight', torch.zeros(hashes, channels))
        self.register_buffer('hash_bias', torch.zeros(hashes))
        self.terms: Dict[str, torch.Tensor] = {}
        self._begun = False
        self._clock = StepClock(seed)

    def forward(self,
                s_maps: torch.Tensor,
                t_maps: torch.Tensor,
                labels: Any,
                t_weight: torch.Tensor,
                t_bias: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Compute the loss.

        Args:
            s_maps (torch.Tensor): The student's last maps, (N, C, H, W).
            t_maps (torch.Tensor): The teacher's, (N, C, H', W').
            labels (torch.Tensor | Sequence[DataSample]): Of the images, int64
                of shape (N, ).
            t_weight (torch.Tensor): Of the teacher's classifier, (K, C).
            t_bias (torch.Tensor, optional): Likewise, (K, ).

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ConfigError: If maps, classifier or labels do not fit.
        """
        labels = self._check(s_maps, t_maps, labels, t_weight)
        step = self._clock.tick()
        draw = torch.Generator(t_maps.device)
        draw.manual_seed(noise_seed(self._clock.seed, step, self._clock.rank))
        # In half precision one hash in a hundred would be another.
        with torch.autocast(s_maps.device.type, enabled=False):
            s_maps, t_maps = s_maps.float(), t_maps.detach().float()
            pooled = t_maps.mean((2, 3))
            self._begin(t_maps, pooled, t_weight)
            denoiser = self._denoiser_loss(self._scaled(t_maps), draw)
            with torch.no_grad():
                logits = F.linear(pooled, t_weight, t_bias)
                better = self._denoised(
                    self._scaled(s_maps), labels, t_weight, t_bias, draw)
                better = better.mean((2, 3)) * self.deviation + self.mean
            hashes = lsh_loss(
                s_maps.mean((2, 3)), better, self.hash_weight, self.hash_bias,
                logits.argmax(1) == labels)
        self.terms = dict(hashes=hashes.detach(), denoiser=denoiser.detach())
        return self.loss_weight * hashes + self.denoiser_weight * denoiser

    def _check(self, s_maps: torch.Tensor, t_maps: torch.Tensor, labels: Any,
               t_weight: torch.Tensor) -> torch.Tensor:
        """Check shapes; the labels as a tensor."""
        channels = len(self.mean)
        for name, maps in dict(s_maps=s_maps, t_maps=t_maps).items():
            if maps.ndim != 4 or maps.shape[1] != channels:
                raise ConfigError(
                    f'DSKDLoss.channels: is {channels}, but {name} has the '
                    f'shape {tuple(maps.shape)}; give the student a connector '
                    'such as mmrazor.ConvModuleConnector')
        if t_weight.shape[1:] != (channels, ):
            raise ConfigError(
                f'DSKDLoss.channels: is {channels}, but the classifier '
                f't_weight has the shape {tuple(t_weight.shape)}')
        if not torch.is_tensor(labels):
            refuse_mixed_labels(labels, 'DSKDLoss.labels')
            labels = torch.cat([sample.gt_label for sample in labels])
        if labels.shape != (len(s_maps), ):
            raise ConfigError('DSKDLoss.labels: have the shape '
                              f'{tuple(labels.shape)}; each image must have '
                              'one class')
        return labels.to(s_maps.device)

    def _denoiser_loss(self, maps: torch.Tensor,
                       draw: torch.Generator) -> torch.Tensor:
        """The loss of the denoiser on the teacher's maps."""
        step = torch.randint(
            len(self.alphas), (len(maps), ),
            generator=draw,
            device=maps.device)
        noise = _noise_like(maps, draw)
        alpha = self.alphas[step][:, None, None, None]
        found = self.denoiser(noisy(maps, noise, alpha), step)
        return F.mse_loss(found, noise)

    def _denoised(self, maps: torch.Tensor, labels: torch.Tensor,
                  t_weight: torch.Tensor, t_bias: Optional[torch.Tensor],
                  draw: torch.Generator) -> torch.Tensor:
        """The student's maps with noise, denoised step by step."""
        path = self._path()
        maps = noisy(maps, _noise_like(maps, draw), self.alphas[path[0]])
        for step, before in zip(path, (*path[1:], None)):
            alpha = self.alphas[step]
            steps = torch.full((len(maps), ), step, device=maps.device)
            noise = self.denoiser(maps, steps)
            if self.guidance:
                noise = guided_noise(maps, noise, alpha, labels, self.mean,
                                     self.deviation, t_weight, t_bias,
                                     self.guidance)
            maps = ddim_step(
                maps, noise, alpha,
                torch.ones_like(alpha)
                if before is None else self.alphas[before])
        return maps

    def _path(self) -> Sequence[int]:
        """The steps of the denoising, from ``start`` on: 299, ..., 59."""
        count = self.denoising_steps
        return [
            self.start * number // count - 1 for number in range(count, 0, -1)
        ]

    def _scaled(self, maps: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1)
        return (maps - self.mean.view(shape)) / self.deviation.view(shape)

    @torch.no_grad()
    def _begin(self, maps: torch.Tensor, pooled: torch.Tensor,
               t_weight: torch.Tensor) -> None:
        """Set scale and hashes by the first batch; the same on all ranks."""
        if not self._begun:
            self._begun = bool((self.deviation > 0).all())
        if self._begun:
            return
        moments = torch.stack([maps, maps.square()]).mean((1, 3, 4))
        dist.all_reduce(moments, 'mean')
        mean, square = moments
        draw = torch.Generator().manual_seed(
            noise_seed(self._clock.seed, 0, _DIRECTIONS))
        weight = torch.randn(self.hash_weight.shape, generator=draw)
        weight = weight.to(maps.device) * t_weight.float().std()
        every = torch.cat(dist.all_gather(pooled))
        self.mean.copy_(mean)
        deviation = (square - mean**2).clamp_min(0).sqrt()
        # Of a channel with hardly any spread a later value would be huge.
        self.deviation.copy_(deviation.clamp_min(.1 * deviation.mean() + 1e-6))
        self.hash_weight.copy_(weight)
        # The lower median: torch.median is not deterministic on a GPU.
        values = (every @ weight.T).sort(0).values
        self.hash_bias.copy_(-values[(len(values) - 1) // 2])


def _noise_like(maps: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return torch.randn(maps.shape, generator=draw, device=maps.device)
