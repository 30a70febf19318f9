# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Mapping

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss
from mmdgkd.models.losses.divergences import bernoulli_kl

AGREEMENTS = ('cosine', 'kl', 'dot')


def student_guided_mean(preds_S: torch.Tensor,
                        passes: torch.Tensor,
                        agreement: str = 'cosine',
                        keep: float = 0.1,
                        sharpness: float = 1.0,
                        tau: float = 1.0,
                        activation: str = 'softmax') -> torch.Tensor:
    """The weighted mean of several passes of a teacher, for a student.

    For each image the passes with the most similar logits, or features, to the
    student's are kept, and weighted by their similarity. Of the weights over
    all passes these are the ones at or above the percentile ``1 - keep``,
    divided by their sum.

    Args:
        preds_S (torch.Tensor): Logits or features of the student, shape
            (N, C).
        passes (torch.Tensor): Those of the teacher, shape (P, N, C).
        agreement (str): The similarity: ``'cosine'``, the scalar product
            ``'dot'``, or ``'kl'``, ``-KL(teacher || student)`` of logits at
            tau. Defaults to ``'cosine'``.
        keep (float): The share of the passes that is kept, at least one.
            Defaults to 0.1.
        sharpness (float): The weights are ``softmax(sharpness * similarity)``
            over the kept passes; 0 makes them equal. Defaults to 1.0.
        tau (float): Temperature of ``'kl'``. Defaults to 1.0.
        activation (str): That of ``'kl'``, see ``DenseKDLoss``.
            Defaults to ``'softmax'``.

    Returns:
        torch.Tensor: Shape (N, C), without gradients.
    """
    preds_S, passes = preds_S.detach().float(), passes.detach().float()
    if agreement == 'cosine':
        similarity = F.cosine_similarity(passes, preds_S[None], dim=2)
    elif agreement == 'dot':
        # No matrix product: under AMP it would be in half precision.
        similarity = (passes * preds_S).sum(2)
    elif activation == 'sigmoid':
        similarity = -bernoulli_kl(preds_S / tau, passes / tau).sum(2)
    else:
        similarity = -F.kl_div(
            F.log_softmax(preds_S / tau, 1).expand_as(passes),
            F.log_softmax(passes / tau, 2),
            reduction='none',
            log_target=True).sum(2)
    # Round up, but ignore the rounding error of a float such as 0.1.
    count = max(1, math.ceil(keep * len(passes) - 1e-9))
    best, index = similarity.topk(count, dim=0)
    kept = passes.gather(0, index[..., None].expand(-1, -1, passes.shape[2]))
    weights = (sharpness * best).softmax(0)
    return (weights[..., None] * kept).sum(0)


def check_weighting(keep: float, sharpness: float, here: str) -> None:
    """Check the numbers of :func:`student_guided_mean`.

    Args:
        keep (float): The share of the passes that is kept.
        sharpness (float): The factor of the similarity.
        here (str): Whose they are, for messages.

    Raises:
        ConfigError: If one is out of its range.
    """
    if isinstance(keep, bool) or not 0 < keep <= 1:
        raise ConfigError(f'{here}.keep: {keep!r} must be above 0, and at '
                          'most 1')
    if not sharpness >= 0:
        raise ConfigError(f'{here}.sharpness: {sharpness!r} must be 0 or more')


def check_passes(student: torch.Tensor, passes: Mapping[str, torch.Tensor],
                 here: str) -> None:
    """Check that each teacher has several passes.

    Args:
        student (torch.Tensor): What they are compared with, shape (N, C).
        passes (Mapping[str, torch.Tensor]): By teacher.
        here (str): The argument of the loss, for messages.

    Raises:
        ConfigError: If one has a single pass.
    """
    for name, each in passes.items():
        if each.ndim != student.ndim + 1:
            raise ConfigError(f'{here}: "{name}" has one pass, of shape '
                              f'{tuple(each.shape)}; its recorder must be of '
                              "type='mmrazor.StochasticTeacherOutputs'")


@MODELS.register_module()
class StudentGuidedKDLoss(DenseKDLoss):
    """KD from dropout passes of each teacher, weighted by the student.

    Student-guided weighting of stochastic teachers (arXiv 2504.14307, ECML
    PKDD 2025): the passes of a :class:`StochasticTeacherOutputsRecorder` that
    are nearest to the student's logits make one teacher, see
    :func:`student_guided_mean`, for a :class:`DenseKDLoss`. Logits and KD are
    a form of this project; :class:`StudentGuidedFeatureLoss` is the published
    one.

    Args:
        agreement (str): The similarity, ``'cosine'``, ``'dot'`` or ``'kl'``.
            Defaults to ``'cosine'``.
        keep (float): The share of the passes that is kept. Defaults to 0.1.
        sharpness (float): Factor of the similarity in the weights.
            Defaults to 1.0.
        **kwargs: As for ``DenseKDLoss``.

    Raises:
        ConfigError: For an unknown ``agreement``, or a number out of its
            range.
    """

    def __init__(self,
                 agreement: str = 'cosine',
                 keep: float = 0.1,
                 sharpness: float = 1.0,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        here = type(self).__name__
        if agreement not in AGREEMENTS:
            raise ConfigError(f'{here}.agreement: {agreement!r} is none of '
                              f'{AGREEMENTS}')
        check_weighting(keep, sharpness, here)
        self.agreement = agreement
        self.keep = keep
        self.sharpness = sharpness

    def forward(self, preds_S: torch.Tensor,
                preds_T: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Compute the loss.

        Args:
            preds_S (torch.Tensor): Logits of the student, shape (N, C).
            preds_T (Mapping[str, torch.Tensor]): Logits of the passes of the
                active teachers, by name, each of shape (P, N, C).

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ConfigError: If the logits of a teacher are of one pass.
        """
        check_passes(preds_S, preds_T, 'preds_T')
        return super().forward(
            preds_S, {
                name:
                student_guided_mean(preds_S, passes, self.agreement, self.keep,
                                    self.sharpness, self.tau, self.activation
                                    or 'softmax')
                for name, passes in preds_T.items()
            })
