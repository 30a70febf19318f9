# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from mmengine.logging import print_log
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from .divergences import dense_kd_loss, teacher_logits
from .image_weights import ImageWeights
from .teacher_weights import check_numbers, check_shares, is_number, stack

REDUCTIONS = ('batchmean', 'mean')
FORMS = ('released', 'paper', 'averaged', 'stacked')
ACTIVATIONS = ('softmax', 'sigmoid')


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
      steps;
    - ``form='stacked'``: (1-λ) CE + λ KD from one estimate of all teachers,
      ``softmax(sum_k w_k z_k / t_k)``, a form of this project, in which w_k
      are the ``teacher_weights``, 1/m each where none are given, and t_k the
      ``teacher_tau``. The weights of the active teachers are scaled to the sum
      of those of all.

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
        form (str): ``'released'``, ``'paper'``, ``'averaged'`` or
            ``'stacked'``. Defaults to ``'released'``.
        teacher_weights (dict[str, float], optional): Weight of single
            teachers, 0 or more; the others have 1. ``'averaged'`` divides by
            their sum, ``'stacked'`` needs all or none. Defaults to None: all
            have the same weight.
        teacher_tau (dict[str, float], optional): Temperature of single
            teachers, by which their logits are divided before tau, in any
            form. Defaults to None: all have 1.
        gate (dict, optional): Weights by image in place of the mean of
            ``'averaged'``, times the ``teacher_weights``: :func:`label_gate`
            by ``dict(type='label', s=0.5)``, :func:`ca_mkd_gate` by
            ``dict(type='ca_mkd')``. The labels are those of the student,
            soft ones of mixed images included; the logits those at
            temperature 1, or ``teacher_tau``. Defaults to None: none.
        unseen_weight (float, optional): The share of the weight of an image
            for teachers that have not been trained on it, see
            :func:`unseen_shares` and the ``folds`` of :class:`DGKD`; 1 leaves
            the others out. It needs ``'averaged'``. Defaults to None: it
            makes no difference.
        activation (str, optional): ``'softmax'`` or ``'sigmoid'``. Defaults to
            None: as the head of the student reads its logits, see
            :func:`activation_of`; a head that is not known gets a warning and
            ``'softmax'``.

    Attributes:
        terms (dict[str, torch.Tensor]): The terms of the last forward by
            teacher, or ``stacked``, detached and still on the device, for
            logging.
        teacher_factors (dict[str, float]): Factors of the weights of single
            teachers, which a hook may set in each iteration. In the averaged
            and the stacked form the total weight stays.

    Raises:
        ConfigError: For an unknown reduction, form, activation or gate, a
            number out of its range, or an option of another form.
    """

    def __init__(self,
                 tau: float = 1.0,
                 reduction: str = 'batchmean',
                 loss_weight: float = 1.0,
                 form: str = 'released',
                 teacher_weights: Optional[Dict[str, float]] = None,
                 activation: Optional[str] = None,
                 teacher_tau: Optional[Dict[str, float]] = None,
                 gate: Optional[Dict[str, Any]] = None,
                 unseen_weight: Optional[float] = None) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ConfigError(f'DenseKDLoss.reduction: {reduction!r} is none '
                              f'of {REDUCTIONS}')
        if form not in FORMS:
            raise ConfigError(f'DenseKDLoss.form: {form!r} is none of {FORMS}')
        if not is_number(tau) or not tau > 0:
            raise ConfigError(f'DenseKDLoss.tau: {tau!r} must be a number '
                              'above 0')
        if not is_number(loss_weight) or loss_weight < 0:
            raise ConfigError(f'DenseKDLoss.loss_weight: {loss_weight!r} must '
                              'be a number, 0 or more')
        if activation not in (None, *ACTIVATIONS):
            raise ConfigError(
                f'DenseKDLoss.activation: {activation!r} is none of '
                f'{ACTIVATIONS}, and not None')
        self.tau = tau
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.form = form
        self.teacher_weights = check_numbers(teacher_weights,
                                             'DenseKDLoss.teacher_weights')
        self.activation = activation
        self._is_given = activation is not None
        self.teacher_tau = check_numbers(
            teacher_tau, 'DenseKDLoss.teacher_tau', positive=True)
        self.image_weights = ImageWeights(gate, unseen_weight)
        if self.image_weights and form != 'averaged':
            key = 'unseen_weight' if gate is None else 'gate'
            raise ConfigError(f'DenseKDLoss.{key}: is a weighted mean of '
                              f"teachers; set form='averaged', not {form!r}")
        self._refuse_gated_sigmoid()
        self.terms: Dict[str, torch.Tensor] = {}
        self.teacher_factors: Dict[str, float] = {}
        # All teachers of the stage, once they are known.
        self._names: List[str] = []

    def _refuse_gated_sigmoid(self) -> None:
        if self.gate and self.activation == 'sigmoid':
            raise ConfigError(
                'DenseKDLoss.gate: is by the cross-entropy of one class an '
                'image, but the labels of the student do not exclude each '
                "other (DenseKDLoss.activation='sigmoid'); leave it out")

    @property
    def gate(self) -> Optional[Mapping[str, Any]]:
        """The gate, if there is one."""
        return self.image_weights.gate

    @property
    def by_logits(self) -> bool:
        """Whether it uses logits otherwise than by their softmax at tau."""
        return self.form == 'stacked' or self.gate is not None

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
        self._refuse_gated_sigmoid()

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
        """Refuse weights that are not those of the teachers of the stage.

        Args:
            names (Sequence[str]): The teachers of the stage.

        Raises:
            ConfigError: If ``teacher_weights`` or ``teacher_tau`` names
                another one, if ``'stacked'`` has weights of some alone, or if
                a form that keeps the total weight has none.
        """
        for key in ('teacher_weights', 'teacher_tau'):
            for name in getattr(self, key):
                if name not in names:
                    raise ConfigError(
                        f'DenseKDLoss.{key}: "{name}" is no teacher here; '
                        f'there are: {", ".join(names)}; what is for one '
                        'network of a chain belongs into its stage.model')
        if self.form in ('averaged', 'stacked'):
            check_shares(self.teacher_weights, names, self.form == 'stacked',
                         'DenseKDLoss.teacher_weights')
        self._names = list(names)

    def begin_batch(self, batch: Any) -> None:
        """Take what weights by image depend on, before the step's forward.

        Args:
            batch (Batch): The batch.

        Raises:
            ConfigError: If the batch does not have it.
        """
        self.image_weights.begin_batch(batch)

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
        weights = {name: self._weight(name) for name in preds_T}
        if self.form in ('averaged', 'stacked'):
            # Their ratios alone count. As numbers: the tensors below would
            # round small ones to 0, all of them.
            most = max(weights.values(), default=0) or 1
            weights = {name: each / most for name, each in weights.items()}
        loss_weight, by_image = self.loss_weight, None
        if self.form == 'stacked':
            preds_T, weights = self._stacked(preds_S, preds_T, weights), {}
        elif preds_T and self.image_weights:
            by_image = self.image_weights(
                teacher_logits(preds_S, preds_T, self.teacher_tau), weights)
            weights = {}
        elif self.form == 'averaged' and preds_T:
            # If all active teachers have weight 0 the loss is 0.
            loss_weight /= sum(weights.values()) or 1
        loss, self.terms = dense_kd_loss(
            preds_S, preds_T, self.tau, self.reduction, loss_weight, weights,
            self.activation or 'softmax',
            None if self.form == 'stacked' else self.teacher_tau, by_image)
        return loss

    def _weight(self, name: str) -> float:
        """That of a teacher for all images."""
        return self.teacher_weights.get(name, 1.0) * self.teacher_factors.get(
            name, 1.0)

    def _stacked(self, preds_S: torch.Tensor, preds_T: Mapping[str,
                                                               torch.Tensor],
                 weights: Mapping[str, float]) -> Dict[str, torch.Tensor]:
        """The logits of the one estimate; empty without any weight."""
        active = sum(weights.values())
        if not active:
            return {}
        # Without weights as sharp as one teacher, however many they are.
        whole = 1 if not self.teacher_weights else sum(
            self.teacher_weights.get(name, 1.0)
            for name in self._names or preds_T)
        logits = teacher_logits(preds_S, preds_T, self.teacher_tau)
        scaled = [weight * (whole / active) for weight in weights.values()]
        return dict(stacked=stack(logits, scaled))
