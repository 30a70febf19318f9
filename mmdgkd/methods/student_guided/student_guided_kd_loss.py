# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Mapping

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss

AGREEMENTS = ('cosine', 'kl')


def student_guided_mean(preds_S: torch.Tensor,
                        passes: torch.Tensor,
                        agreement: str = 'cosine',
                        keep: float = 0.1,
                        sharpness: float = 1.0,
                        tau: float = 1.0) -> torch.Tensor:
    """The mean of what a teacher says in several passes, for a student.

    For each image the passes that agree most with the student are kept, and
    weighed by how much they do.

    Args:
        preds_S (torch.Tensor): Logits of the student, shape (N, C).
        passes (torch.Tensor): Logits of the teacher, shape (P, N, C).
        agreement (str): ``'cosine'`` of the logits of both, or ``'kl'``, minus
            ``KL(teacher || student)`` at tau. Defaults to ``'cosine'``.
        keep (float): The share of the passes that is kept, at least one.
            Defaults to 0.1.
        sharpness (float): The weights are ``softmax(sharpness * agreement)``
            over those that are kept; 0 weighs them alike. Defaults to 1.0.
        tau (float): Temperature of ``'kl'``. Defaults to 1.0.

    Returns:
        torch.Tensor: Shape (N, C), without gradients.
    """
    preds_S, passes = preds_S.detach().float(), passes.detach().float()
    if agreement == 'cosine':
        agreed = F.cosine_similarity(passes, preds_S[None], dim=2)
    else:
        agreed = -F.kl_div(
            F.log_softmax(preds_S / tau, 1).expand_as(passes),
            F.log_softmax(passes / tau, 2),
            reduction='none',
            log_target=True).sum(2)
    # Rounded up, but not for what 0.1 is too much by in binary.
    count = max(1, math.ceil(keep * len(passes) - 1e-9))
    best, index = agreed.topk(count, dim=0)
    kept = passes.gather(0, index[..., None].expand(-1, -1, passes.shape[2]))
    weights = (sharpness * best).softmax(0)
    return (weights[..., None] * kept).sum(0)


@MODELS.register_module()
class StudentGuidedKDLoss(DenseKDLoss):
    """KD from active teachers several times, as the student weighs them.

    Student-guided weighting of stochastic teacher representations: of the
    dropout passes that a :class:`StochasticTeacherOutputsRecorder` records,
    those that are nearest to what the student says by now make one teacher,
    see :func:`student_guided_mean`; what follows is :class:`DenseKDLoss`.
    That the nearest tenth is kept is the method's; what else it does could
    not be found, and is our choice.

    Args:
        agreement (str): ``'cosine'`` or ``'kl'``. Defaults to ``'cosine'``.
        keep (float): The share of the passes that is kept. Defaults to 0.1.
        sharpness (float): How much agreement counts among these. Defaults to
            1.0.
        **kwargs: As for ``DenseKDLoss``.

    Raises:
        ConfigError: For an unknown agreement, or a number out of its range.
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
        if isinstance(keep, bool) or not 0 < keep <= 1:
            raise ConfigError(f'{here}.keep: {keep!r} must be above 0, and at '
                              'most 1')
        if not sharpness >= 0:
            raise ConfigError(f'{here}.sharpness: {sharpness!r} must be 0 or '
                              'more')
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
            ConfigError: If a teacher has said it once.
        """
        for name, passes in preds_T.items():
            if passes.ndim != preds_S.ndim + 1:
                raise ConfigError(
                    f'preds_T: "{name}" has said one thing, of shape '
                    f'{tuple(passes.shape)}, and not several; its recorder '
                    "must be of type='mmrazor.StochasticTeacherOutputs'")
        return super().forward(
            preds_S, {
                name:
                student_guided_mean(preds_S, passes, self.agreement, self.keep,
                                    self.sharpness, self.tau)
                for name, passes in preds_T.items()
            })
