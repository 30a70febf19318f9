# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Mapping

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from .student_guided_kd_loss import (check_passes, check_weighting,
                                     student_guided_mean)


@MODELS.register_module()
class StudentGuidedFeatureLoss(nn.Module):
    """Regression to dropout passes of each teacher, weighted by the student.

    Student-guided weighting of stochastic teachers (arXiv 2504.14307, ECML
    PKDD 2025) as its authors' code has it: of the thinned features t_i of a
    teacher, see :class:`StochasticTeacherOutputsRecorder`, the weights are
    ``softmax_i(<s, t_i> / 5)`` by image, those below their 90th percentile are
    left out and the rest divided by its sum. The loss is the mean squared
    error between the student's features s and the weighted mean, of several
    teachers the mean of these (our choice). The authors' total is 0.5 of it
    and 0.5 CE (``DGKD.task_loss_weight``). No gradient goes through the
    weights (our choice: the authors' is not known).

    Args:
        keep (float): The share of the passes that is kept. Defaults to 0.1.
        divisor (float): What the products are divided by. Defaults to 5.0.
        loss_weight (float): Its weight. Defaults to 0.5.

    Raises:
        ConfigError: For a number out of its range.
    """

    def __init__(self,
                 keep: float = 0.1,
                 divisor: float = 5.0,
                 loss_weight: float = 0.5) -> None:
        super().__init__()
        here = type(self).__name__
        if not divisor > 0:
            raise ConfigError(f'{here}.divisor: {divisor!r} must be above 0')
        check_weighting(keep, 1 / divisor, here)
        self.keep = keep
        self.divisor = divisor
        self.loss_weight = loss_weight

    def forward(self, s_feats: torch.Tensor,
                t_feats: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Compute the loss.

        Args:
            s_feats (torch.Tensor): Features of the student, shape (N, D).
            t_feats (Mapping[str, torch.Tensor]): The thinned features of the
                active teachers, by name, each of shape (P, N, D).

        Returns:
            torch.Tensor: The loss, a scalar; 0 without teachers.

        Raises:
            ConfigError: If a teacher has one pass, or features of another
                length.
        """
        check_passes(s_feats, t_feats, 't_feats')
        s_feats = s_feats.float()
        total = s_feats.sum() * 0
        for name, passes in t_feats.items():
            if passes.shape[1:] != s_feats.shape:
                raise ConfigError(
                    f't_feats: "{name}" has {passes.shape[2]} features, the '
                    f'student {s_feats.shape[1]}; give s_feats a connector '
                    'with as many')
            target = student_guided_mean(s_feats, passes, 'dot', self.keep,
                                         1 / self.divisor)
            total = total + F.mse_loss(s_feats, target) / len(t_feats)
        return self.loss_weight * total
