# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError

OF = ('probs', 'logits')


def cosine_loss(preds_S: torch.Tensor,
                preds_T: torch.Tensor,
                of: str = 'probs',
                tau: float = 1.) -> torch.Tensor:
    """One minus the cosine of the angle between two outputs.

    The loss of SPEQ (arXiv 2009.14502), in place of the KL divergence.

    Args:
        preds_S (torch.Tensor): Logits of the student, shape (N, C).
        preds_T (torch.Tensor): Logits of the teacher, shape (N, C).
        of (str): ``'probs'`` to compare their softmax, ``'logits'`` to
            compare logits. Defaults to ``'probs'``.
        tau (float): Temperature of the softmax. Defaults to 1.

    Returns:
        torch.Tensor: The mean over the batch, a scalar from 0 to 2.
    """
    preds_S, preds_T = preds_S.float(), preds_T.float()
    if of == 'probs':
        preds_S, preds_T = ((logits / tau).softmax(1)
                            for logits in (preds_S, preds_T))
    return 1 - F.cosine_similarity(preds_S, preds_T, dim=1).mean()


@MODELS.register_module()
class CosineLoss(nn.Module):
    """:func:`cosine_loss` as a module.

    Whether the paper compares logits or probabilities could not be found; the
    defaults are our choice.

    Args:
        of (str): ``'probs'`` or ``'logits'``. Defaults to ``'probs'``.
        tau (float): Temperature of the softmax. Defaults to 1.
        loss_weight (float): Its weight. Defaults to 1.

    Raises:
        ConfigError: If a value is out of its range.
    """

    def __init__(self,
                 of: str = 'probs',
                 tau: float = 1.,
                 loss_weight: float = 1.) -> None:
        super().__init__()
        if of not in OF:
            raise ConfigError(f'CosineLoss.of: {of!r} is none of '
                              f'{", ".join(OF)}')
        if not tau > 0:
            raise ConfigError(f'CosineLoss.tau: {tau!r} should be above 0')
        self.of, self.tau, self.loss_weight = of, tau, loss_weight

    def forward(self, preds_S: torch.Tensor,
                preds_T: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            preds_S (torch.Tensor): Logits of the student, shape (N, C).
            preds_T (torch.Tensor): Logits of the teacher, shape (N, C).
        """
        return self.loss_weight * cosine_loss(preds_S, preds_T, self.of,
                                              self.tau)
