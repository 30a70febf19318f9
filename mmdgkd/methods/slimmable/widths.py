# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The widths of a slimmable network, and the channels of each."""
import copy
import json
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from mmrazor.registry import TASK_UTILS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.utils.random import aside

# MMRazor's units of an architecture, by its config: the analysis takes
# seconds, and a chain builds each network several times.
_FOUND: Dict[str, Dict] = {}


def read_widths(widths: Any, key: str) -> Tuple[float, ...]:
    """Read the widths of a slimmable network.

    Args:
        widths (Any): As in the config: shares of its channels.
        key (str): Its config key.

    Returns:
        tuple[float]: From the narrowest to the widest, which is 1.

    Raises:
        ConfigError: If they are no shares, fewer than two, or without 1.
    """
    right = 'should be two or more different shares of the channels, such as '
    right += '[0.5, 0.75, 1.0]'
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise ConfigError(f'{key}: {widths!r} {right}')
    for width in widths:
        if isinstance(
                width,
                bool) or not isinstance(width,
                                        (int, float)) or not 0 < width <= 1:
            raise ConfigError(f'{key}: {width!r} is no share of the channels, '
                              f'above 0 and at most 1; {right}')
    if len(widths) < 2 or len(set(widths)) < len(widths):
        raise ConfigError(f'{key}: {list(widths)} {right}')
    if max(widths) != 1:
        raise ConfigError(f'{key}: {list(widths)} has no 1.0, all '
                          'channels; add it')
    return tuple(sorted(map(float, widths)))


def name_of_width(width: float) -> str:
    """The name of a width, such as ``'0.5'``."""
    return f'{width:g}'


def channel_counts(num_channels: int,
                   widths: Sequence[float]) -> Tuple[int, ...]:
    """The number of channels of a unit at each width.

    Args:
        num_channels (int): All channels of the unit.
        widths (Sequence[float]): Shares of them.
    """
    return tuple(max(1, round(num_channels * width)) for width in widths)


def slimmable_units(units: Mapping[str, Mapping], widths: Sequence[float],
                    key: str) -> Dict[str, Dict]:
    """Units of channels for MMRazor's ``SlimmableChannelUnit``.

    Args:
        units (Mapping[str, Mapping]): Those of its ``ChannelAnalyzer``.
        widths (Sequence[float]): From the narrowest to the widest.
        key (str): The config key of the widths.

    Raises:
        ConfigError: If there are no units, or units with the same number of
            channels at two widths.
    """
    if not units:
        raise ConfigError(f'{key}: MMRazor finds no channels in the '
                          'architecture that could be left out')
    slimmable = {}
    for name, unit in units.items():
        total = unit['init_args']['num_channels']
        counts = channel_counts(total, widths)
        if len(set(counts)) < len(counts):
            raise ConfigError(
                f'{key}: {list(widths)} are {list(counts)} of the {total} '
                f'channels of {name!r}; each width should have another number')
        slimmable[name] = dict(
            init_args=dict(
                num_channels=total,
                candidate_choices=list(counts),
                choice_mode='number'),
            channels=copy.deepcopy(unit['channels']))
    return slimmable


def find_units(model: nn.Module, parse_cfg: Mapping[str, Any],
               cfg: Optional[Mapping]) -> Dict[str, Dict]:
    """Group the dependent channels of a network by MMRazor.

    The state of the random generators is restored, so that a network starts
    from the same weights wherever it is built.

    Args:
        model (nn.Module): The network.
        parse_cfg (Mapping): Config of MMRazor's ``ChannelAnalyzer``.
        cfg (Mapping, optional): The config of the network, the key of a cache
            of the result. None: no cache.
    """
    text = ''
    if cfg is not None:
        cfg = {k: v for k, v in cfg.items() if k != 'data_preprocessor'}
        text = json.dumps([cfg, parse_cfg], sort_keys=True, default=str)
    if text not in _FOUND or not text:
        with aside():
            _FOUND[text] = TASK_UTILS.build(dict(parse_cfg)).analyze(model)
    return copy.deepcopy(_FOUND[text])
