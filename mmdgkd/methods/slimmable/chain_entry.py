# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading networks of a chain that are one width of a slimmable one."""
import copy
from typing import Any, Dict, Mapping

from mmdgkd.errors import ConfigError
from .joint_slimmable import JointSlimmable
from mmdgkd.utils.config_types import type_of
from .widths import (name_of_width, read_widths)
from mmdgkd.chain.options import refuse_unknown


def is_slimmable(model: Any) -> bool:
    """Whether a model config is of a network of several widths."""
    return (isinstance(model, Mapping)
            and type_of(model) == JointSlimmable.__name__
            and model.get('width') is None)


def check_slimmable_cfg(name: str, model: Mapping) -> None:
    """See whether the widths of a network, if it has several, are widths.

    Args:
        name (str): The network.
        model (Mapping): Its model config.

    Raises:
        ConfigError: If they are not, or if MMRazor's own algorithm would
            train only one of them.
    """
    here = f'chain.networks.{name}.model'
    if type_of(model) == 'SlimmableNetwork':
        raise ConfigError(f'{here}.type: SlimmableNetwork trains its widths by'
                          ' a step of its own, without guides; use '
                          'JointSlimmable')
    if is_slimmable(model):
        read_widths(model.get('widths'), f'{here}.widths')


def model_of_width(name: str, entry: Mapping,
                   models: Mapping[str, Mapping]) -> Dict[str, Any]:
    """The model config of one width of a network of several.

    Args:
        name (str): The network that is this width.
        entry (Mapping): ``width_of``, the network of several widths, and
            ``width``.
        models (Mapping[str, Mapping]): The model configs of the networks
            before it.

    Returns:
        dict: That of a plain network with as many channels.

    Raises:
        ConfigError: If there is no such network or no such width.
    """
    here = f'chain.networks.{name}'
    refuse_unknown(entry, ('width_of', 'width'), here)
    parent, width = entry['width_of'], entry.get('width')
    if parent not in models:
        raise ConfigError(f'{here}.width_of: {parent!r} is no network before '
                          f'"{name}"; possible: '
                          f'{", ".join(models) or "none, it is the first"}')
    model = models[parent]
    if not is_slimmable(model):
        raise ConfigError(
            f'{here}.width_of: "{parent}" has one width; that of a '
            "type='mmrazor.JointSlimmable' has several")
    widths = read_widths(
        model.get('widths'), f'chain.networks.{parent}.model.widths')
    if isinstance(width, bool) or width not in widths[:-1]:
        narrower = ', '.join(map(name_of_width, widths[:-1]))
        raise ConfigError(f'{here}.width: {width!r} is no narrower width of '
                          f'"{parent}", which has {narrower} (1 is "{parent}" '
                          'itself)')
    return dict(copy.deepcopy(dict(model)), width=float(width))
