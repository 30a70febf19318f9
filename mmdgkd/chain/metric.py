# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which number of a validation is recorded, and which of two is better."""
from typing import Any, Mapping, Optional, Tuple

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown
from mmdgkd.utils.metrics import number_of

_RULES = ('greater', 'less')


def read_metric(cfg: Any) -> Tuple[Optional[str], Optional[str]]:
    """Read ``chain.metric``.

    Args:
        cfg (Any): As in the config: a name, ``dict(name=..., rule=...)`` or
            None.

    Returns:
        tuple: The name of the metric, and ``'greater'`` or ``'less'``; None
        for what is not given.

    Raises:
        ConfigError: If it is anything else.
    """
    here = 'chain.metric'
    if cfg is None or isinstance(cfg, str):
        return cfg, None
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"{here}: must be a name or dict(name='...', "
                          f"rule='greater'), not {cfg!r}")
    refuse_unknown(cfg, ('name', 'rule'), here)
    name, rule = cfg.get('name'), cfg.get('rule')
    if name is not None and not isinstance(name, str):
        raise ConfigError(f'{here}.name: {name!r} must be the name of a '
                          'metric')
    if rule is not None and rule not in _RULES:
        raise ConfigError(f"{here}.rule: {rule!r} must be 'greater' or 'less'")
    return name, rule


def chosen_metric(metrics: Mapping[str, Any],
                  name: Optional[str]) -> Optional[Tuple[str, float]]:
    """The metric of a validation that is recorded.

    Args:
        metrics (Mapping[str, Any]): What the validation has measured.
        name (str, optional): The chosen one; None: the first number.

    Returns:
        tuple[str, float]: Its name and value; None if there is no number.

    Raises:
        ConfigError: If the chosen one is not measured, or is no number.
    """
    if name is None:
        found = ((key, number_of(value)) for key, value in metrics.items())
        return next((pair for pair in found if pair[1] is not None), None)
    if name not in metrics:
        raise ConfigError(f'chain.metric: "{name}" is not measured; there '
                          f'are: {", ".join(metrics)}')
    value = number_of(metrics[name])
    if value is None:
        numbers = [
            key for key in metrics if number_of(metrics[key]) is not None
        ]
        raise ConfigError(
            f'chain.metric: "{name}" is not a single number; '
            f'{", ".join(numbers) or "no other metric"} would be')
    return name, value
