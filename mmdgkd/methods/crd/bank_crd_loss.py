# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Optional

import torch
from mmengine import dist
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.step_clock import StepClock
from mmdgkd.structures.mixes import refuse_mixed_labels
from mmdgkd.structures.views import views_of
from mmdgkd.utils.device import to_device
from .negatives import SamplesByClass, draw_negatives

# The label of a sample that is held out, or of a fold that is left out.
LEFT_OUT = -2


def crd_scores(feats: torch.Tensor, bank: torch.Tensor,
               tau: float) -> torch.Tensor:
    """The similarity of the samples of a batch to all of the data set.

    The exponential of arXiv 1910.10699, equation 19.

    Args:
        feats (torch.Tensor): Features of one network, shape (N, D), of
            length 1.
        bank (torch.Tensor): Features of the other for all samples, shape
            (M, D).
        tau (float): The temperature.

    Returns:
        torch.Tensor: ``exp(<g_S, g_T> / tau)``, shape (N, M).
    """
    return torch.exp(feats @ bank.t() / tau)


def crd_loss(scores: torch.Tensor,
             indices: torch.Tensor,
             counts: torch.Tensor,
             norm: torch.Tensor,
             eps: float = 1e-7) -> torch.Tensor:
    """The contrastive loss of one network's features with the other's bank.

    Contrastive Representation Distillation (ICLR 2020, arXiv 1910.10699),
    equations 18 and 19 with the M of N/M the size of the data set, and as in
    the released code the scores divided by a constant::

        P = scores / norm;  h = P / (P + K/M + eps)
        loss = -log h(positive) - sum over the negatives of log(1 - h)

    (in the second term the code's numerator, K/M, leaves eps out). The
    negatives are given as counts: one matrix product replaces N times K copied
    rows, and the gradient is summed in a fixed order on a GPU, too.

    Args:
        scores (torch.Tensor): See :func:`crd_scores`, shape (N, M).
        indices (torch.Tensor): Indices of the batch in the data set, which are
            the positives; int64 of shape (N, ).
        counts (torch.Tensor): How often each sample is a negative of one of
            the batch, K in a row, shape (N, M).
        norm (torch.Tensor): The constant, a scalar.
        eps (float): See above. Defaults to 1e-7.

    Returns:
        torch.Tensor: The mean over the batch, a scalar.
    """
    probs = scores / norm
    noise = counts.sum(1) / scores.shape[1]
    rows = torch.arange(len(indices), device=indices.device)
    positive = torch.log1p((noise + eps) / probs[rows, indices])
    negative = counts * torch.log1p((probs + eps) / noise[:, None])
    return (positive + negative.sum(1)).mean()


@torch.no_grad()
def update_bank(bank: torch.Tensor, indices: torch.Tensor, feats: torch.Tensor,
                momentum: float) -> None:
    """Update the bank by the features of a batch, in place.

    Args:
        bank (torch.Tensor): Shape (M, D).
        indices (torch.Tensor): The samples, int64 of shape (N, ). The last
            one of duplicates is used.
        feats (torch.Tensor): Shape (N, D).
        momentum (float): The weight of the old features; the sum is divided by
            its length.
    """
    rows = torch.arange(len(indices), device=indices.device)
    last = ((indices[:, None] == indices) * rows).amax(1)
    mean = momentum * bank[indices] + (1 - momentum) * feats[last]
    bank.index_copy_(0, indices, mean / mean.norm(dim=1, keepdim=True))


@MODELS.register_module()
class BankCRDLoss(nn.Module):
    """CRD, between one teacher and the student.

    The sum of two :func:`crd_loss`: of the student's features with the bank of
    the teacher's, and of the teacher's with the bank of the student's. Its
    arguments are those of MMRazor's ``CRDLoss``, whose ``CRDConnector`` makes
    the features of length 1 on both sides. With the same negatives it has the
    same value, but that one cannot be used here: it never multiplies by its
    ``loss_weight``; it reads negatives from data samples that only mmcls can
    pack, drawn from NumPy's global generator, or draws them on the CPU alone;
    each process has banks of its own; and it copies 16,385 rows of each bank
    for each sample, a GB in a batch of 64.

    Here the banks are part of the state, in memory and in each checkpoint (2 x
    25.6 MB for 50,000 samples of 128 numbers), as is the class of each sample,
    which :class:`SampleClassesHook` sets before a training (a chain adds it).
    The negatives are a function of the seed, the iteration and the sample, see
    :func:`draw_negatives`; all teachers of a step use the same. All processes
    gather their features, so that they have the same banks; their batches must
    be of the same size. A step costs a matrix product of the batch with all of
    the data set, which is little for CIFAR and much for ImageNet.

    Args:
        loss_weight (float): The weight; 0.8 in the paper. Defaults to 1.0.
        temperature (float): tau. Defaults to 0.07.
        neg_num (int): K, the number of negatives of a sample.
            Defaults to 16384.
        sample_n (int): M, the number of samples of the training data.
            Defaults to 50000.
        dim_out (int): D, the length of the features. Defaults to 128.
        momentum (float): See :func:`update_bank`. Defaults to 0.5.
        eps (float): See :func:`crd_loss`. Defaults to 1e-7.
        seed (int, optional): The seed of the draws. Defaults to None: that of
            the Runner.

    Raises:
        ConfigError: If a value is out of its range; in a forward, if it does
            not fit the features or the data.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 temperature: float = 0.07,
                 neg_num: int = 16384,
                 sample_n: int = 50000,
                 dim_out: int = 128,
                 momentum: float = 0.5,
                 eps: float = 1e-7,
                 seed: Optional[int] = None) -> None:
        super().__init__()
        for key, value in dict(
                neg_num=neg_num, sample_n=sample_n, dim_out=dim_out).items():
            if type(value) is not int or value < 1:
                raise ConfigError(f'BankCRDLoss.{key}: {value!r} must be an '
                                  'integer, 1 or more')
        if not temperature > 0:
            raise ConfigError(f'BankCRDLoss.temperature: {temperature!r} must '
                              'be positive')
        if not 0 <= momentum < 1:
            raise ConfigError(f'BankCRDLoss.momentum: {momentum!r} must be 0 '
                              'or more, and less than 1')
        self.loss_weight = loss_weight
        self.temperature = temperature
        self.neg_num = neg_num
        self.momentum = momentum
        self.eps = eps
        # As in the released code: about length 1.
        bound = 1 / math.sqrt(dim_out / 3)
        for name in ('student_bank', 'teacher_bank'):
            self.register_buffer(
                name,
                torch.empty(sample_n, dim_out).uniform_(-bound, bound))
        # The constants of the student's and the teacher's scores, from the
        # first batch.
        self.register_buffer('norms', torch.full((2, ), -1.))
        self.register_buffer('labels', torch.full((sample_n, ), -1))
        self._samples: Optional[SamplesByClass] = None
        self._begun = False
        self._clock = StepClock(seed)

    def learn_classes(self, labels: torch.Tensor) -> None:
        """Set the class of each sample, before a training.

        Args:
            labels (torch.Tensor): By index, int64 of shape (M, );
                :data:`LEFT_OUT` of samples that are not trained on.

        Raises:
            ConfigError: For another number of samples, or a single class.
        """
        self._check_number(len(labels))
        if labels[labels >= 0].unique().numel() < 2:
            raise ConfigError('neg_num: all training data is of one class, so '
                              'that there are no negatives')
        self.labels.copy_(labels)
        self._samples = None

    def forward(self, s_feats: torch.Tensor, t_feats: torch.Tensor,
                data_samples: Any) -> torch.Tensor:
        """Compute the loss, and update the banks.

        Args:
            s_feats (torch.Tensor): The student's, shape (N, D), of length 1.
            t_feats (torch.Tensor): The teacher's, likewise.
            data_samples (Sequence[DataSample]): N samples with their indices
                in the data set, as those of a ``ViewDataset``.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ConfigError: If features or data do not fit, or images are mixed.
        """
        refuse_mixed_labels(data_samples, 'data_samples')
        for name, feats in dict(s_feats=s_feats, t_feats=t_feats).items():
            if feats.ndim != 2 or feats.shape[1] != self.dim_out:
                raise ConfigError(
                    f'dim_out: is {self.dim_out}, but {name} is of shape '
                    f'{tuple(feats.shape)}; dim_out of loss and CRDConnector '
                    'must be the same')
        indices = self._indices_of(data_samples, s_feats.device)
        with torch.autocast(s_feats.device.type, enabled=False):
            return self._loss(indices, s_feats.float(), t_feats.float())

    @property
    def dim_out(self) -> int:
        """The length of the features."""
        return self.student_bank.shape[1]

    def _loss(self, indices: torch.Tensor, s_feats: torch.Tensor,
              t_feats: torch.Tensor) -> torch.Tensor:
        counts = self._draw(indices)
        if not self._begun:
            self._begun = bool((self.norms > 0).all())
        if not self._begun:
            for bank in (self.student_bank, self.teacher_bank):
                dist.broadcast(bank)
        pairs = ((s_feats, self.teacher_bank), (t_feats, self.student_bank))
        scores = [
            # A copy: the banks change before the backward, which reads it.
            crd_scores(feats, bank.to(feats.device, copy=True),
                       self.temperature) for feats, bank in pairs
        ]
        if not self._begun:
            self._set_norms(scores, indices, counts)
        loss = sum(
            crd_loss(score, indices, counts, norm.to(score.device), self.eps)
            for score, norm in zip(scores, self.norms))
        self._keep_features(indices, s_feats, t_feats)
        return self.loss_weight * loss

    def _draw(self, indices: torch.Tensor) -> torch.Tensor:
        """How often each sample is a negative, shape (N, M)."""
        shape = len(indices), len(self.labels)
        negatives = draw_negatives(self._clock.seed, self._clock.tick(),
                                   indices, self._sorted(), self.neg_num)
        # Integers: their sum is exact in any order.
        ones = torch.ones((), device=indices.device).expand_as(negatives)
        return torch.zeros(
            shape, device=indices.device).scatter_add_(1, negatives, ones)

    def _sorted(self) -> SamplesByClass:
        """All samples by class; sorted once."""
        if (self._samples is None
                or self._samples.labels.device != self.labels.device):
            if (self.labels == -1).any():
                raise ConfigError(
                    'sample_n: it is not known which class each sample is of; '
                    "add dict(type='mmrazor.SampleClassesHook') to "
                    'custom_hooks')
            self._samples = SamplesByClass.of(self.labels.clone())
        return self._samples

    @torch.no_grad()
    def _set_norms(self, scores: Any, indices: torch.Tensor,
                   counts: torch.Tensor) -> None:
        """Set the constants: M times the mean score of the first batch.

        The batch is that of all ranks.
        """
        rows = torch.arange(len(indices), device=indices.device)
        weights = counts.clone()
        weights[rows, indices] += 1
        num = len(indices) * (self.neg_num + 1)
        means = torch.stack([(score * weights).sum() / num
                             for score in scores])
        dist.all_reduce(means, 'mean')
        self.norms.copy_(means * len(self.labels))

    @torch.no_grad()
    def _keep_features(self, indices: torch.Tensor, s_feats: torch.Tensor,
                       t_feats: torch.Tensor) -> None:
        """Update the banks by the features of all ranks."""
        feats = torch.cat([s_feats.detach(), t_feats.detach()], 1)
        indices = torch.cat(dist.all_gather(indices))
        feats = torch.cat(dist.all_gather(feats))
        for bank, part in zip((self.student_bank, self.teacher_bank),
                              feats.chunk(2, 1)):
            update_bank(bank, indices, part, self.momentum)

    def _indices_of(self, data_samples: Any,
                    device: torch.device) -> torch.Tensor:
        views = views_of(data_samples)
        if views is None:
            raise ConfigError(
                'sample_n: the data samples have no index in the data set; '
                "data_samples must be those of a 'mmpretrain.ViewDataset', "
                'which chain.views=dict() puts around the data')
        self._check_number(views.source.num_samples)
        return to_device(views.indices, device)

    def _check_number(self, found: int) -> None:
        if found != len(self.labels):
            raise ConfigError(f'sample_n: is {len(self.labels)}, but there are'
                              f' {found} samples of training data; set it to '
                              f'{found}')
