# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How the head of a network reads its logits."""
import logging
from typing import Any, Optional

from mmengine.logging import print_log
from mmpretrain.models.heads import ClsHead, MultiLabelClsHead
from mmpretrain.models.losses import FocalLoss
from mmrazor.models.losses import (WSLD, DISTLoss, DKDLoss, KDSoftCELoss,
                                   KLDivergence)
from torch import nn

# Losses of one label each that say so by their class alone.
_BY_SIGMOID = (FocalLoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
# Distillation losses of MMRazor that know no other activation.
_BY_SOFTMAX = (DISTLoss, DKDLoss, KDSoftCELoss, KLDivergence, WSLD)


def activation_of(network: nn.Module) -> Optional[str]:
    """How a network's logits become probabilities.

    Args:
        network (nn.Module): A classifier, with a ``head`` or with a loss of
            its own as the wrappers of timm and HuggingFace.

    Returns:
        str, optional: ``'sigmoid'`` for a head of several labels, whose
        targets do not exclude each other, and for a loss of one label each
        (binary cross-entropy, focal loss); ``'softmax'`` for other heads and
        losses; None if neither is known.
    """
    head = getattr(network, 'head', None)
    head = network if head is None else head
    loss = getattr(head, 'loss_module', None)
    if isinstance(head, MultiLabelClsHead) or _is_by_sigmoid(loss):
        return 'sigmoid'
    if isinstance(head, ClsHead) or isinstance(loss, nn.Module):
        return 'softmax'
    return None


def fit_to_head(losses: nn.Module, network: nn.Module) -> None:
    """Have losses read logits as the head of the student does.

    Args:
        losses (nn.Module): A loss, or modules with losses in them. Those with
            a method ``fit_to_head(activation)`` are concerned; those of
            MMRazor by softmax get a warning if the head is by sigmoid.
        network (nn.Module): The network in training.

    Raises:
        ConfigError: If a loss has another network with another activation.
    """
    activation = activation_of(network)
    for module in losses.modules():
        if hasattr(module, 'fit_to_head'):
            module.fit_to_head(activation)
        elif activation == 'sigmoid' and isinstance(module, _BY_SOFTMAX):
            print_log(
                f'{type(module).__name__} compares softmax, but the labels of '
                "the student's head do not exclude each other; use "
                'mmrazor.DenseKDLoss',
                logger='current',
                level=logging.WARNING)


def _is_by_sigmoid(loss: Any) -> bool:
    """Whether a loss, or one inside of it, is of one label each."""
    return isinstance(loss, nn.Module) and any(
        isinstance(part, _BY_SIGMOID) or getattr(part, 'use_sigmoid', False)
        for part in loss.modules())
