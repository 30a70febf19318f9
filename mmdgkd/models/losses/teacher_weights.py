# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The weights of teachers, by image or in one estimate."""
import math
from typing import Any, Dict, Mapping, Sequence

import torch
from torch.nn import functional as F

from mmdgkd.errors import ConfigError

# Below any weight that counts; with it a group of teachers whose weights are
# rounded to 0 still has shares.
_LEAST = 1e-30


def stack(logits: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """The logits of one estimate from several teachers.

    Their softmax is the geometric mean of the teachers' distributions where
    the weights have sum 1, and sharper where it is larger.

    Args:
        logits (torch.Tensor): Those of each teacher, divided by its own
            temperature, shape (m, N, C).
        weights (Sequence[float]): One for each teacher.

    Returns:
        torch.Tensor: ``sum_k w_k z_k``, shape (N, C).
    """
    return sum(weight * each for weight, each in zip(weights, logits))


def label_gate(logits: torch.Tensor, labels: torch.Tensor,
               s: float) -> torch.Tensor:
    """Weights by the likelihood of the label of each image.

    A form of this project: ``w_k(x) ~ exp(-CE(z_k, y) / s)``.

    Args:
        logits (torch.Tensor): Of each teacher, shape (m, N, C).
        labels (torch.Tensor): Classes of shape (N, ), or soft labels of shape
            (N, C).
        s (float): The smaller, the more weight has the best.

    Returns:
        torch.Tensor: Shape (m, N), with sum 1 for each image.
    """
    losses = _cross_entropies(logits, labels)
    return (-losses / s).softmax(0).clamp_min(_LEAST)


def ca_mkd_gate(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The weights of CA-MKD, by the confidence in the label of each image.

    Zhang, Chen and Wang, "Confidence-Aware Multi-Teacher Knowledge
    Distillation" (ICASSP 2022, arXiv 2201.00007), eq. 3:
    ``w_k(x) = (1 - softmax_k(CE)_k) / (m - 1)``.

    Args:
        logits (torch.Tensor): See :func:`label_gate`.
        labels (torch.Tensor): Likewise.

    Returns:
        torch.Tensor: Shape (m, N), with sum 1 for each image; 1 for a single
        teacher.
    """
    losses = _cross_entropies(logits, labels)
    if len(losses) == 1:
        return torch.ones_like(losses)
    share = (1 - losses.softmax(0)) / (len(losses) - 1)
    return share.clamp_min(_LEAST)


def unseen_shares(weights: torch.Tensor, unseen: torch.Tensor,
                  share: float) -> torch.Tensor:
    """Give teachers that have not seen an image a share of the weight.

    Within both groups the weights keep their proportions.

    Args:
        weights (torch.Tensor): 0 or more, with sum 1 for each image, shape
            (m, N). A teacher with weight 0 is in no group.
        unseen (torch.Tensor): Which teacher has not been trained on which
            image, bool of shape (m, N).
        share (float): Of those that have not.

    Returns:
        torch.Tensor: Shape (m, N). Where a group is empty the weights are as
        they were.
    """
    of_unseen = (weights * unseen).sum(0)
    of_seen = (weights * ~unseen).sum(0)
    shared = torch.where(unseen, share * (weights / of_unseen),
                         (1 - share) * (weights / of_seen))
    return torch.where((of_unseen > 0) & (of_seen > 0), shared, weights)


def check_numbers(by_teacher: Any,
                  here: str,
                  positive: bool = False) -> Dict[str, float]:
    """Refuse what are no numbers of single teachers, 0 or more.

    Args:
        by_teacher (Mapping[str, float], optional): The numbers; None for none.
        here (str): Their config key.
        positive (bool): Whether to refuse 0, too. Defaults to False.

    Returns:
        dict[str, float]: The numbers.

    Raises:
        ConfigError: If it is no mapping, or one is no such number.
    """
    if by_teacher is None:
        return {}
    if not isinstance(by_teacher, Mapping):
        raise ConfigError(f'{here}: {by_teacher!r} must be a number by '
                          'teacher, such as dict(resnet56=0.5)')
    for name, value in by_teacher.items():
        if not is_number(value) or value < 0 or (positive and value == 0):
            raise ConfigError(f'{here}.{name}: {value!r} must be a number'
                              f'{" above 0" if positive else ", 0 or more"}')
    return dict(by_teacher)


def check_shares(weights: Mapping[str, float], names: Sequence[str],
                 stacked: bool, here: str) -> None:
    """Refuse weights that do not share out one weight among all teachers.

    Args:
        weights (Mapping[str, float]): Those that are given; empty for none.
        names (Sequence[str]): The teachers of the stage.
        stacked (bool): Whether they weigh logits, which a weight of 1 for
            each of the others would make far sharper.
        here (str): Their config key.

    Raises:
        ConfigError: If all are 0, or if ``stacked`` lacks one.
    """
    if not weights:
        return
    others = [name for name in names if name not in weights]
    if stacked and others:
        raise ConfigError(
            f"{here}: form='stacked' needs the weights of all teachers or "
            f'none, but there is none for {", ".join(others)}')
    if not others and not any(weights[name] for name in names):
        raise ConfigError(f'{here}: are all 0, without any distillation; give '
                          'one of the teachers more')


def is_number(value: Any) -> bool:
    """Whether a value of a config is a finite number, and no bool."""
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


def _cross_entropies(logits: torch.Tensor,
                     labels: torch.Tensor) -> torch.Tensor:
    """That of each teacher and image at temperature 1, shape (m, N).

    Of an image without a class, whose label is -100, they are all 0.
    """
    losses = [
        F.cross_entropy(each, labels, reduction='none')
        for each in logits.float()
    ]
    return torch.stack(losses)
