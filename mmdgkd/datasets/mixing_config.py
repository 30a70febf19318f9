# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Check the config of batch augmentations that become part of views."""
import math
from typing import Any, List, Mapping

from mmpretrain.models.utils.batch_augments import CutMix, Mixup, ResizeMix
from mmpretrain.registry import BATCH_AUGMENTS

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import find_type, reason_of

# Their kinds alone: what another one draws and mixes is not known.
KINDS = (Mixup, CutMix, ResizeMix)


def supports(cfg: Any) -> bool:
    """Whether all of some batch augmentations can become part of views.

    Not those of other classes, such as a user's own. What is wrong counts as
    supported: :func:`check_augment` says what.

    Args:
        cfg (dict): ``augments`` and perhaps ``probs``.
    """

    def is_other(augment: Any) -> bool:
        if not isinstance(augment, Mapping):
            return callable(augment)
        try:
            kind = find_type(BATCH_AUGMENTS, augment.get('type'))
        except KeyError:
            return False
        return kind not in KINDS

    augments = cfg.get('augments') if isinstance(cfg, Mapping) else ()
    return not any(map(is_other, listed(augments)))


def listed(augments: Any) -> List[Any]:
    """One batch augmentation, or several, as a list."""
    return list(augments) if isinstance(augments,
                                        (list, tuple)) else [augments]


def check_augment(augment: Any, here: str) -> None:
    """Check a batch augmentation; MMPretrain's assertions say nothing.

    Args:
        augment (Any): Its config.
        here (str): The config key, for messages.

    Raises:
        ConfigError: If it is none of :data:`KINDS`, or has a wrong value.
    """
    known = ', '.join(kind.__name__ for kind in KINDS)
    if not isinstance(augment, Mapping) or 'type' not in augment:
        raise ConfigError(f"{here}: {augment!r} must be dict(type='Mixup', "
                          f'alpha=0.8), of a type of {known}')
    try:
        if find_type(BATCH_AUGMENTS, augment['type']) not in KINDS:
            raise KeyError
    except KeyError:
        raise ConfigError(f'{here}: {augment["type"]!r} is none of {known}, '
                          'which can be part of a view') from None
    alpha = augment.get('alpha')
    if not (isinstance(alpha, float) and 0 < alpha < math.inf):
        raise ConfigError(f'{here}: {augment["type"]}.alpha: {alpha!r} must '
                          'be a float above 0')
    ranges = {
        'cutmix_minmax':
        augment.get('cutmix_minmax'),
        'lam_min, lam_max': (augment.get('lam_min',
                                         .1), augment.get('lam_max', .8))
    }
    for key, values in ranges.items():
        if values is not None and not _is_range(values):
            raise ConfigError(f'{here}: {augment["type"]}.{key}: {values!r} '
                              'must be two numbers from 0 to 1, the smaller '
                              'first')
    try:
        BATCH_AUGMENTS.build(dict(augment))
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{here}: {reason_of(error)}') from None


def _is_range(values: Any) -> bool:
    return (isinstance(values, (list, tuple)) and len(values) == 2
            and all(isinstance(value, (int, float)) for value in values)
            and 0 <= values[0] < values[1] <= 1)


def check_probs(probs: Any, count: int, here: str) -> None:
    """Check the probabilities of batch augmentations.

    Args:
        probs (Any): As in the config.
        count (int): The number of augmentations.
        here (str): The config key, for messages.

    Raises:
        ConfigError: If they are not as many numbers with a sum of at most 1.
    """
    if probs is None:
        return
    values = [probs] if isinstance(probs, float) else probs
    if not (isinstance(values, (list, tuple)) and len(values) == count and all(
            isinstance(value, (int, float)) and value >= 0
            for value in values) and sum(values) <= 1):
        raise ConfigError(
            f'{here}: {probs!r} must be {count} probabilities, one for each '
            'of augments, whose sum is at most 1')
