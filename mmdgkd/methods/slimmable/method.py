# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Slimmable networks in a chain: several widths in one stage."""
import copy
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (Weights, parent_of,
                                          refuse_deliveries,
                                          refuse_fixed_graphs, refuse_sync_bn)
from mmdgkd.models.utils.networks import static_network
from mmdgkd.utils.config import type_of
from .joint_slimmable import JointSlimmable
from .widths import name_of_width, read_widths


@register_method
class Slimmable(Method):
    """:class:`JointSlimmable`, a network of several widths."""

    algorithms = (JointSlimmable, )

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Read ``width_of``, and check the widths of a ``model``.

        Raises:
            ConfigError: For wrong widths, a parent without widths, or
                MMRazor's own algorithm, which has no teachers.
        """
        if 'width_of' in entry:
            return _network_of_width(name, entry, before)
        model = entry.get('model')
        key = f'chain.networks.{name}.model'
        if (isinstance(model, Mapping)
                and type_of(model) == 'SlimmableNetwork'):
            raise ConfigError(
                f'{key}.type: SlimmableNetwork trains its widths by a step of '
                'its own, without teachers; use JointSlimmable')
        if _is_slimmable(model):
            read_widths(model.get('widths'), f'{key}.widths')
        return None

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network of each width, from the narrowest to the widest.

        It is the widest alone if weights are given, and the one width of a
        network with ``width``.
        """
        if not isinstance(model, JointSlimmable):
            return ()
        if model.is_deployed or weights is not None:
            return (static_network(model), )
        found = []
        for name in reversed(model.width_names):
            model.set_width(name)
            found.append(static_network(model))
        return tuple(found)

    def check(self, stage: CheckedStage) -> None:
        """Refuse options that replace or reuse what each width has alone.

        The widths would share batch statistics or recorded outputs, without
        an error.
        """
        if not isinstance(stage.model, JointSlimmable):
            return
        refuse_sync_bn(stage.config, f'{stage.key}.model', 'of its widths')
        refuse_fixed_graphs(stage.config,
                            f'{stage.key} takes all its widths in each step')
        refuse_deliveries(stage.config,
                          f'{stage.key} runs once for each width')

    def extract(self, model: JointSlimmable,
                network: Network) -> Dict[str, torch.Tensor]:
        """The weights of one width alone, of a ``JointSlimmable`` of it."""
        model.set_width(name_of_width(network.part['width']))
        weights = static_network(model).state_dict()
        model.set_width(model.width_names[0])
        return {
            f'architecture.{key}': data.contiguous()
            for key, data in weights.items()
        }


def _is_slimmable(model: Any) -> bool:
    """Whether a model config is of a network of several widths."""
    return (isinstance(model, Mapping)
            and type_of(model) == JointSlimmable.__name__
            and model.get('width') is None)


def _network_of_width(name: str, entry: Mapping,
                      before: Mapping[str, Network]) -> Network:
    """Read an entry of ``width_of``, the parent, and ``width``."""
    parent = parent_of(name, entry, ('width_of', 'width'), before)
    here, width = f'chain.networks.{name}', entry.get('width')
    if not _is_slimmable(parent.model):
        raise ConfigError(
            f'{here}.width_of: "{parent.name}" has one width; that of a '
            "type='mmrazor.JointSlimmable' has several")
    widths = read_widths(
        parent.model.get('widths'),
        f'chain.networks.{parent.name}.model.widths')
    if isinstance(width, bool) or width not in widths[:-1]:
        narrower = ', '.join(map(name_of_width, widths[:-1]))
        raise ConfigError(f'{here}.width: {width!r} is no narrower width of '
                          f'"{parent.name}", which has {narrower} (1 is '
                          f'"{parent.name}" itself)')
    model = dict(copy.deepcopy(dict(parent.model)), width=float(width))
    # It is tested and deployed as its parent is.
    return Network(
        name,
        model,
        stage=parent.stage,
        part_of=parent.name,
        part=dict(width_of=parent.name, width=model['width']))
