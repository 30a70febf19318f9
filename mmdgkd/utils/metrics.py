# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The numbers of a validation, and which of two is better."""
import re
from typing import Any, Optional

import numpy as np
import torch
from mmengine.hooks import CheckpointHook

# Those of which MMEngine knows it, and others.
_GREATER = (*CheckpointHook._default_greater_keys, 'recall', 'f1', 'kappa')
_LESS = (*CheckpointHook._default_less_keys, 'err', 'nll', 'mse', 'mae',
         'rmse', 'ece', 'brier', 'perplexity')


def number_of(value: Any) -> Optional[float]:
    """A metric as a number; None if it is none, such as one per class.

    Args:
        value (Any): A number, or a tensor or an array of one.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = value.item() if np.prod(value.shape) == 1 else None
    if isinstance(value, (int, float, np.number)):
        return float(value)
    return None


def rule_of(name: str) -> Optional[str]:
    """Which of two values of a metric is better, by its name.

    Args:
        name (str): Such as ``'accuracy/top1'``.

    Returns:
        str: ``'greater'`` or ``'less'``; None if that is not known.
    """
    words = re.split(r'[^a-z0-9@]+', name.lower())
    for rule, known in (('less', _LESS), ('greater', _GREATER)):
        if any(
                word.startswith(key.lower()) for word in words
                for key in known):
            return rule
    return None
