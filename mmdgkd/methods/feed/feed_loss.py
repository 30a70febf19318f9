# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import nn


def feed_loss(s_feature: torch.Tensor,
              t_feature: torch.Tensor) -> torch.Tensor:
    """The L1 distance of two feature maps, each divided by its L2 norm.

    FEED (Park and Kwak, arXiv 1909.10754), the term of one teacher in the loss
    of pFEED; the norms are of the complete map of a sample.

    Args:
        s_feature (torch.Tensor): The student's map after its non-linear
            transformation layer, shape (N, C, H, W).
        t_feature (torch.Tensor): The teacher's map, likewise.

    Returns:
        torch.Tensor: The mean over the batch, a scalar.

    Raises:
        RuntimeError: If the maps differ in size.
    """
    one, other = (
        F.normalize(feature.float().flatten(1))
        for feature in (s_feature, t_feature))
    return (one - other).abs().sum(1).mean()


@MODELS.register_module()
class FEEDLoss(nn.Module):
    """The loss of FEED between the last feature maps of student and teacher.

    See :func:`feed_loss`. With several teachers each has an edge of its own,
    with a non-linear transformation layer (such as MMRazor's ``Translator``,
    three 3x3 convolutions) as its connector, which is not part of the trained
    network.

    Args:
        loss_weight (float): β, the weight; the paper does not give it. A term
            is of the order of the square root of the size of a map.
            Defaults to 0.02.
    """

    def __init__(self, loss_weight: float = 0.02) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, s_feature: torch.Tensor,
                t_feature: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            s_feature (torch.Tensor): Shape (N, C, H, W).
            t_feature (torch.Tensor): Shape (N, C, H, W).

        Raises:
            RuntimeError: If the maps differ in size.
        """
        return self.loss_weight * feed_loss(s_feature, t_feature)
