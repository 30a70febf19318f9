# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List, Optional

import torch
from mmrazor.models.task_modules import ModuleOutputsRecorder
from mmrazor.registry import MODELS, TASK_UTILS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdgkd.errors import ConfigError


@TASK_UTILS.register_module()
class BatchNormGapsRecorder(ModuleOutputsRecorder):
    """Records how far a batch is from what a network was trained on.

    In a config its type is ``'BatchNormGaps'``. Of each layer of batch
    normalization the gap between the statistics of its inputs and its running
    ones, those of the training images: ``||mu - mu_run|| + ||var - var_run||``
    (DeepInversion, arXiv 1912.08795, equation 4). The record of a call is a
    float32 tensor of shape (L, ), one number for each of the L layers, in the
    order of their calls. With several processes each has the gaps of its own
    batch.

    Args:
        source (str): The module with the layers, such as ``'backbone'``.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._gaps: List[torch.Tensor] = []

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the source and its layers.

        Args:
            model (nn.Module): The network.

        Raises:
            ConfigError: If it has no batch normalization with statistics.
        """
        source = model.get_submodule(self.source)
        layers = [
            layer for layer in source.modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None
        ]
        if not layers:
            raise ConfigError(
                f'source: "{self.source}" has no batch normalization with '
                'running statistics; that of a folded teacher is gone: set '
                'model.teacher_options.fold_bn=False')
        for layer in layers:
            layer.register_forward_pre_hook(self._note_gap)
        super().prepare_from_model(model)

    def reset_data_buffer(self) -> None:
        """Forget all records, and those of a call that was not finished."""
        super().reset_data_buffer()
        self._gaps = []

    def _note_gap(self, layer: _BatchNorm, inputs: tuple) -> None:
        if not self.recording:
            return
        # Of half precision a variance would have three digits.
        values = inputs[0].float().transpose(0, 1).flatten(1)
        var, mean = torch.var_mean(values, 1, correction=0)
        self._gaps.append((mean - layer.running_mean).norm() +
                          (var - layer.running_var).norm())

    def forward_hook(self, module: nn.Module, inputs: tuple,
                     outputs: Any) -> None:
        """Record the gaps of a call of the source."""
        if self.recording:
            self.data_buffer.append(torch.stack(self._gaps))
            self._gaps = []


@MODELS.register_module()
class BatchNormGapLoss(nn.Module):
    """Makes generated images like the training images of a teacher.

    The sum of the gaps of a :class:`BatchNormGapsRecorder`. It is no part of
    DAFL.

    Args:
        loss_weight (float): Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, gaps: torch.Tensor) -> torch.Tensor:
        """Sum the gaps.

        Args:
            gaps (torch.Tensor): Shape (L, ).
        """
        return self.loss_weight * gaps.sum()
