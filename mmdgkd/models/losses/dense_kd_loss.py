# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from typing import Dict, Mapping, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError

REDUCTIONS = ('batchmean', 'mean')
FORMS = ('released', 'paper', 'averaged')
ACTIVATIONS = ('softmax', 'sigmoid')


def dense_kd_loss(
    preds_S: torch.Tensor,
    preds_T: Mapping[str, torch.Tensor],
    tau: float = 1.0,
    reduction: str = 'batchmean',
    loss_weight: float = 1.0,
    teacher_weights: Optional[Mapping[str, float]] = None,
    activation: str = 'softmax'
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

    Returns:
        tuple[torch.Tensor, dict[str, torch.Tensor]]: The loss, a scalar, and
        its terms by teacher, weighted and detached. Without any teacher the
        loss is 0, still connected to ``preds_S``.

    Raises:
        ValueError: If the logits of a teacher have another shape.
    """
    for name, logits in preds_T.items():
        if logits.shape != preds_S.shape:
            raise ValueError(
                f'the logits of teacher "{name}" have shape '
                f'{tuple(logits.shape)}, those of the student '
                f'{tuple(preds_S.shape)}: both need the same classes')
    preds_S = _raised(preds_S)
    if not preds_T:
        return preds_S.sum() * 0, {}
    # All teachers at once: for a small student the launches of one operation
    # per teacher cost more than the operations.
    logits_T = torch.stack(
        [_raised(logits.detach()) for logits in preds_T.values()])
    if activation == 'sigmoid':
        divergence = bernoulli_kl(preds_S / tau, logits_T / tau).flatten(1)
    else:
        log_probs_S = F.log_softmax(preds_S / tau, dim=1)
        probs_T = F.softmax(logits_T / tau, dim=2)
        divergence = F.kl_div(
            log_probs_S.expand_as(probs_T), probs_T,
            reduction='none').flatten(1)
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


@MODELS.register_module()
class DenseKDLoss(nn.Module):
    r"""Distillation loss from any number of teachers at once.

    With n teachers and the mixing weight λ the known forms of the whole
    objective are

    - ``form='released'``: (1-λ) CE + λ Σ KD, the authors' released code;
    - ``form='paper'``: n (1-λ) CE + λ Σ KD, the loss of the paper, which
      counts the cross-entropy once per teacher (its n TAs and one teacher,
      n + 1 in its formula, are n teachers here);
    - ``form='averaged'``: (1-λ) CE + λ/m Σ KD over the m teachers that are
      active in the step, a form of this project: KD, TAKD and DGKD then have
      the same total weight, and differ in density, not in the size of the
      steps.

    λ is this loss's ``loss_weight``, 1-λ is ``DGKD.task_loss_weight``; n comes
    from :meth:`task_weight`. It counts all teachers of the stage, dropped ones
    included, so that the weight of the labels is the same in all steps. The
    paper does not specify this.

    KD is ``tau^2 KL(softmax(preds_T / tau) || softmax(preds_S / tau))``.
    Labels that do not exclude each other have no softmax: with
    ``activation='sigmoid'``, a form of this project, KD is ``tau^2`` times the
    sum over the labels of the KL divergence between two distributions of yes
    and no, see :func:`dense_kd_loss`. All forms and reductions are as before.

    Args:
        tau (float): Temperature. Defaults to 1.0.
        reduction (str): ``'batchmean'`` or ``'mean'``, see
            :func:`dense_kd_loss`. The released code uses ``'mean'``, which
            is smaller by the number of classes. Defaults to ``'batchmean'``.
        loss_weight (float): λ, the weight of all terms. Defaults to 1.0.
        form (str): ``'released'``, ``'paper'`` or ``'averaged'``. Defaults to
            ``'released'``.
        teacher_weights (dict[str, float], optional): Weight of single
            teachers; ``'averaged'`` divides by their sum. Defaults to None:
            all have weight 1.
        activation (str, optional): ``'softmax'`` or ``'sigmoid'``. Defaults to
            None: as the head of the student reads its logits, see
            :func:`activation_of`; a head that is not known gets a warning and
            ``'softmax'``.

    Attributes:
        terms (dict[str, torch.Tensor]): The terms of the last forward by
            teacher, detached and still on the device, for logging.

    Raises:
        ConfigError: For an unknown reduction, form or activation, or tau <= 0.
    """

    def __init__(self,
                 tau: float = 1.0,
                 reduction: str = 'batchmean',
                 loss_weight: float = 1.0,
                 form: str = 'released',
                 teacher_weights: Optional[Dict[str, float]] = None,
                 activation: Optional[str] = None) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ConfigError(f'DenseKDLoss.reduction: {reduction!r} is none '
                              f'of {REDUCTIONS}')
        if form not in FORMS:
            raise ConfigError(f'DenseKDLoss.form: {form!r} is none of {FORMS}')
        if not tau > 0:
            raise ConfigError(f'DenseKDLoss.tau: {tau!r} must be positive')
        if activation not in (None, *ACTIVATIONS):
            raise ConfigError(
                f'DenseKDLoss.activation: {activation!r} is none of '
                f'{ACTIVATIONS}, and not None')
        self.tau = tau
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.form = form
        self.teacher_weights = dict(teacher_weights or {})
        self.activation = activation
        self._is_given = activation is not None
        self.terms: Dict[str, torch.Tensor] = {}

    def fit_to_head(self, activation: Optional[str]) -> None:
        """Take the activation of the student's head, if none is given.

        Args:
            activation (str, optional): That of the head; None if it is not
                known.

        Raises:
            ConfigError: If another network that is trained with this loss has
                another one.
        """
        if self._is_given:
            return
        if activation is None:
            print_log(
                'DenseKDLoss.activation: the head of the student does not tell'
                " whether its classes exclude each other; 'softmax' is used, "
                "set it, or activation='sigmoid' if they do not",
                logger='current',
                level=logging.WARNING)
            activation = 'softmax'
        if self.activation not in (None, activation):
            raise ConfigError(
                'DenseKDLoss.activation: the heads of the networks that are '
                "trained together differ, some are by 'softmax', others by "
                "'sigmoid'; set it")
        self.activation = activation

    def check_classes(self, classes: int) -> None:
        """Refuse a single logit, unless a sigmoid is wanted for it.

        Its softmax is always 1: the loss would be 0 in every step, without an
        error.

        Args:
            classes (int): Length of the logits.

        Raises:
            ConfigError: If it is 1.
        """
        if classes == 1 and not (self._is_given
                                 and self.activation == 'sigmoid'):
            raise ConfigError(
                'DenseKDLoss.activation: the student has one logit, and a '
                "softmax over one logit is always 1; set activation='sigmoid' "
                'to distill a label of yes and no, or use two classes')

    def check_teachers(self, names: Sequence[str]) -> None:
        """Refuse a weight for a teacher that the stage does not have.

        Args:
            names (Sequence[str]): The teachers of the stage.

        Raises:
            ConfigError: If ``teacher_weights`` names another one.
        """
        for name in self.teacher_weights:
            if name not in names:
                raise ConfigError(
                    f'DenseKDLoss.teacher_weights: "{name}" is no teacher '
                    f'here; there are: {", ".join(names)}')

    def task_weight(self, num_teachers: int) -> int:
        """The factor of the student's own loss in this form.

        Args:
            num_teachers (int): Number of teachers of the stage.
        """
        return num_teachers if self.form == 'paper' else 1

    def forward(self, preds_S: torch.Tensor,
                preds_T: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Compute the loss.

        Args:
            preds_S (torch.Tensor): Logits of the student, shape (N, C).
            preds_T (Mapping[str, torch.Tensor]): Logits of the active
                teachers, by name, each of shape (N, C).

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ConfigError: For a single logit, see :meth:`check_classes`.
            ValueError: If the logits of a teacher have another shape.
        """
        if preds_S.ndim > 1:
            self.check_classes(preds_S.shape[1])
        loss_weight = self.loss_weight
        if self.form == 'averaged' and preds_T:
            # If all active teachers have weight 0 the loss is 0.
            loss_weight /= sum(
                self.teacher_weights.get(name, 1.0) for name in preds_T) or 1
        loss, self.terms = dense_kd_loss(preds_S, preds_T, self.tau,
                                         self.reduction, loss_weight,
                                         self.teacher_weights, self.activation
                                         or 'softmax')
        return loss
