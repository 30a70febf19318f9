# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Mapping, Optional, Union

import torch
from mmrazor.models.architectures.connectors.base_connector import \
    BaseConnector
from mmrazor.registry import MODELS


def standardize(logits: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """Logits with mean 0 and standard deviation 1 over the classes.

    Logit Standardization in Knowledge Distillation (CVPR 2024,
    arXiv 2403.01427), equation 11, without its temperature, which the loss
    has: the student need not match the scale of its teacher's logits.

    Args:
        logits (torch.Tensor): Shape (N, C).
        eps (float): Added to the standard deviation. Defaults to 1e-7.

    Returns:
        torch.Tensor: Shape (N, C).
    """
    mean, deviation = logits.mean(1, keepdim=True), logits.std(1, keepdim=True)
    return (logits - mean) / (deviation + eps)


@MODELS.register_module()
class StandardizeConnector(BaseConnector):
    """Standardizes logits on their way to a loss, see :func:`standardize`.

    It belongs on both sides of a loss, the student's and the teacher's.

    Args:
        eps (float): Added to the standard deviation. Defaults to 1e-7.
        init_cfg (dict, optional): As in every MMEngine module.
    """

    def __init__(self,
                 eps: float = 1e-7,
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        self.eps = eps

    def forward_train(
        self, feature: Union[torch.Tensor, Mapping[str, torch.Tensor]]
    ) -> Union[torch.Tensor, Dict[str, torch.Tensor]]:
        """Standardize.

        Args:
            feature (torch.Tensor | Mapping[str, torch.Tensor]): Logits, shape
                (N, C), or those of each teacher by name.
        """
        if isinstance(feature, Mapping):
            return {
                name: standardize(logits, self.eps)
                for name, logits in feature.items()
            }
        return standardize(feature, self.eps)
