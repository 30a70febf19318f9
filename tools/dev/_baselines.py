# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How others distill, as baselines for benchmark.py; not for use."""
from typing import Any, Dict, List

import torch
import torch.nn.functional as F
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS

from mmdgkd.models.algorithms.dgkd import DGKD


@MODELS.register_module()
class ReleasedWay(DGKD):
    """The released DGKD code: teachers run in the graph.

    Its teachers run without ``no_grad``, so that the backward goes through
    each of them; its loss is λ τ² Σ KLDivLoss(), averaged over batch and
    classes, one teacher after the other. In float32, with weights in PyTorch's
    usual memory format.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for teacher in self.teachers.values():
            teacher.requires_grad_(True)

    def loss(self, inputs: torch.Tensor,
             data_samples: List) -> Dict[str, torch.Tensor]:
        """One training forward."""
        kd = next(iter(self.distiller.distill_losses.values()))
        logits = self.student(inputs, mode='tensor')
        labels = torch.cat([sample.gt_label for sample in data_samples])
        loss = self.task_loss_weight * F.cross_entropy(logits, labels)
        for teacher in self.teachers.values():
            logits_T = teacher(inputs, mode='tensor')
            loss = loss + kd.loss_weight * kd.tau**2 * F.kl_div(
                F.log_softmax(logits / kd.tau, 1),
                F.softmax(logits_T / kd.tau, 1),
                reduction='none').mean()
        return dict(loss=loss)


@MODELS.register_module()
class MMRazorWay(DGKD):
    """MMRazor: each teacher runs its whole loss, without a graph.

    As ``SingleTeacherDistill`` runs its one teacher, in the precision and the
    memory format that the student has by default.
    """

    def __init__(self, distiller: Dict, **kwargs: Any) -> None:
        for recorder in distiller['teacher_recorders'].values():
            # What is found is the output in tensor mode.
            recorder.update(source='head')
        super().__init__(distiller=distiller, **kwargs)

    def loss(self, inputs: torch.Tensor,
             data_samples: List) -> Dict[str, torch.Tensor]:
        """One training forward."""
        distiller = self.distiller
        distiller.begin_step(self._clock.tick())
        with torch.no_grad(), distiller.teacher_recorders:
            for teacher in self.teachers.values():
                teacher(inputs, data_samples, mode='loss')
        with distiller.student_recorders:
            losses = self.student(inputs, data_samples, mode='loss')
        losses = add_prefix(self._weigh(losses), 'student')
        losses.update(
            add_prefix(distiller.compute_distill_losses(), 'distill'))
        return losses
