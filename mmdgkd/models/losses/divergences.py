# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The divergences between the student and any number of teachers."""
from typing import Dict, Mapping, Optional, Tuple

import torch
import torch.nn.functional as F


def dense_kd_loss(
    preds_S: torch.Tensor,
    preds_T: Mapping[str, torch.Tensor],
    tau: float = 1.0,
    reduction: str = 'batchmean',
    loss_weight: float = 1.0,
    teacher_weights: Optional[Mapping[str, float]] = None,
    activation: str = 'softmax',
    teacher_tau: Optional[Mapping[str, float]] = None,
    image_weights: Optional[torch.Tensor] = None
) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
    """Sum of the KL divergences from every teacher to the student.

    The distillation part of the student's loss in "Densely Guided Knowledge
    Distillation using Multiple Teacher Assistants" (ICCV 2021,
    arXiv 2009.08825):
    ``sum_T tau^2 KL(softmax(preds_T / tau) || softmax(preds_S / tau))``. The
    terms are summed, not averaged. The student's log-softmax is computed once.
    Half-precision logits are raised to float32 first.

    With ``activation='sigmoid'`` each label is a distribution of its own, and
    the divergences of a sample's labels are summed:
    ``sum_T tau^2 sum_c KL(Bernoulli(p_T) || Bernoulli(p_S))`` with
    ``p = sigmoid(preds[:, c] / tau)``.

    Args:
        preds_S (torch.Tensor): Logits of the student, shape (N, C) or
            (N, C, H, W), with gradients.
        preds_T (Mapping[str, torch.Tensor]): Logits of each active teacher,
            by name, of the student's shape. They are detached.
        tau (float): Temperature. Defaults to 1.0.
        reduction (str): ``'batchmean'`` divides each term by N, as the
            definition has it; ``'mean'`` by the number of elements, N * C, as
            the released code does. Defaults to ``'batchmean'``.
        loss_weight (float): Weight of all terms. Defaults to 1.0.
        teacher_weights (Mapping[str, float], optional): Weight of single
            terms; the others have weight 1. Defaults to None.
        activation (str): ``'softmax'`` for classes that exclude each other,
            ``'sigmoid'`` for labels that do not. Defaults to ``'softmax'``.
        teacher_tau (Mapping[str, float], optional): Temperature of single
            teachers, by which their logits are divided before tau, so that
            they are calibrated; the others have 1. Defaults to None.
        image_weights (torch.Tensor, optional): Weight of each term of each
            image, shape (m, N), the teachers in the order of ``preds_T``.
            Defaults to None: all are 1.

    Returns:
        tuple[torch.Tensor, dict[str, torch.Tensor]]: The loss, a scalar, and
        its terms by teacher, weighted and detached. Without any teacher the
        loss is 0, still connected to ``preds_S``.

    Raises:
        ValueError: If the logits of a teacher have another shape.
    """
    preds_S = _raised(preds_S)
    if not preds_T:
        return preds_S.sum() * 0, {}
    logits_T = teacher_logits(preds_S, preds_T, teacher_tau)
    if activation == 'sigmoid':
        divergence = bernoulli_kl(preds_S / tau, logits_T / tau)
    else:
        log_probs_S = F.log_softmax(preds_S / tau, dim=1)
        probs_T = F.softmax(logits_T / tau, dim=2)
        divergence = F.kl_div(
            log_probs_S.expand_as(probs_T), probs_T, reduction='none')
    if image_weights is not None:
        divergence = image_weights[..., None] * divergence.flatten(2)
    divergence = divergence.flatten(1)
    # The order of operations is that of MMRazor's KLDivergence, so that one
    # teacher gives the same bits.
    if reduction == 'mean':
        divergence = (tau**2) * divergence.mean(1)
    else:
        divergence = (tau**2) * (divergence.sum(1) / len(preds_S))
    weights = [(teacher_weights or {}).get(name, 1.0) for name in preds_T]
    terms = loss_weight * divergence
    if any(weight != 1 for weight in weights):
        # Numbers, not a tensor, which would have to be copied to the device.
        terms = torch.stack(
            [weight * term for weight, term in zip(weights, terms)])
    return terms.sum(), dict(zip(preds_T, terms.detach()))


def teacher_logits(
        preds_S: torch.Tensor,
        preds_T: Mapping[str, torch.Tensor],
        teacher_tau: Optional[Mapping[str, float]] = None) -> torch.Tensor:
    """The logits of all teachers, each at its own temperature.

    All at once: for a small student the launches of one operation per teacher
    cost more than the operations.

    Args:
        preds_S (torch.Tensor): See :func:`dense_kd_loss`.
        preds_T (Mapping[str, torch.Tensor]): Likewise, of one or more.
        teacher_tau (Mapping[str, float], optional): Likewise.
            Defaults to None.

    Returns:
        torch.Tensor: Shape (m, N, C) or (m, N, C, H, W), detached, float32
        where they are in half precision.

    Raises:
        ValueError: If the logits of a teacher have another shape.
    """
    for name, logits in preds_T.items():
        if logits.shape != preds_S.shape:
            raise ValueError(
                f'the logits of teacher "{name}" have shape '
                f'{tuple(logits.shape)}, those of the student '
                f'{tuple(preds_S.shape)}: both need the same classes')
    logits_T = [_raised(logits.detach()) for logits in preds_T.values()]
    if teacher_tau:
        logits_T = [
            logits / teacher_tau.get(name, 1.0)
            for name, logits in zip(preds_T, logits_T)
        ]
    return torch.stack(logits_T)


def bernoulli_kl(preds_S: torch.Tensor, preds_T: torch.Tensor) -> torch.Tensor:
    """KL divergence of each label, a distribution of yes and no.

    Args:
        preds_S (torch.Tensor): Logits of the student, any shape.
        preds_T (torch.Tensor): Logits of the teacher; the shapes broadcast.

    Returns:
        torch.Tensor: ``KL(sigmoid(preds_T) || sigmoid(preds_S))``, in the
        common shape.
    """
    yes = torch.sigmoid(preds_T) * (
        F.logsigmoid(preds_T) - F.logsigmoid(preds_S))
    no = torch.sigmoid(-preds_T) * (
        F.logsigmoid(-preds_T) - F.logsigmoid(-preds_S))
    return yes + no


def _raised(logits: torch.Tensor) -> torch.Tensor:
    if logits.dtype in (torch.float16, torch.bfloat16):
        return logits.float()
    return logits
