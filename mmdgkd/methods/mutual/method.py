# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Mutual learning in a chain: several networks in one stage."""
import copy
import re
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import Weights, parent_of, refuse_deliveries
from mmdgkd.utils.config import type_of
from .mutual_networks import MutualNetworks


@register_method
class Mutual(Method):
    """:class:`MutualNetworks`, which are trained side by side."""

    algorithms = (MutualNetworks, )

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Read ``member_of``, and check the peers of a ``model``.

        Raises:
            ConfigError: For wrong peers, a parent without such a peer, or
                ``init_from``, which would start one of the networks alone.
        """
        if 'member_of' in entry:
            return _member(name, entry, before)
        model = entry.get('model')
        if _is_mutual(model):
            key = f'chain.networks.{name}'
            _check_peers(name, model.get('peers'), f'{key}.model.peers')
            if entry.get('init_from'):
                raise ConfigError(
                    f'{key}.init_from: would begin one of the networks that '
                    'are trained together, and not its peers; leave it out')
        return None

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The peers, and last the network; that alone if weights are given."""
        if not isinstance(model, MutualNetworks):
            return ()
        if weights is not None:
            return (model.architecture, )
        return (*model.peers.values(), model.architecture)

    def check(self, stage: CheckedStage) -> None:
        """Refuse deliveries, which would be for one of the networks alone."""
        if isinstance(stage.model, MutualNetworks):
            refuse_deliveries(
                stage.config, f'{stage.key} trains several networks in a step')

    def extract(self, model: MutualNetworks,
                network: Network) -> Dict[str, torch.Tensor]:
        """The weights of one of the peers."""
        return {
            key: data.contiguous()
            for key, data in model.peers[network.name].state_dict().items()
        }

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """Each network is distilled from the others."""
        return ('mutual learning', 'its peers') if _is_mutual(model) else None


def _is_mutual(model: Any) -> bool:
    """Whether a model config is of networks that are trained together."""
    return (isinstance(model, Mapping)
            and type_of(model) == MutualNetworks.__name__)


def _check_peers(name: str, peers: Any, here: str) -> None:
    if not isinstance(peers, Mapping) or not peers:
        raise ConfigError(f'{here}: {peers!r} should be a dict of the networks'
                          f' that are trained with "{name}", name -> model')
    for peer, cfg in peers.items():
        if not re.fullmatch(r'[A-Za-z0-9_-]+', str(peer)) or 'loss' in peer:
            raise ConfigError(f'{here}.{peer}: a name is made of letters, '
                              'digits, "_" and "-", without the word "loss"')
        if not isinstance(cfg, Mapping):
            raise ConfigError(f'{here}.{peer}: {cfg!r} should be the config of'
                              ' an MMPretrain model')


def _member(name: str, entry: Mapping, before: Mapping[str,
                                                       Network]) -> Network:
    """Read an entry of ``member_of``, the network with these peers."""
    parent = parent_of(name, entry, ('member_of', ), before)
    here = f'chain.networks.{name}.member_of'
    if not _is_mutual(parent.model):
        raise ConfigError(
            f'{here}: "{parent.name}" is trained by itself; a '
            "type='mmrazor.MutualNetworks' is trained with its peers")
    peers = parent.model['peers']
    if name not in peers:
        raise ConfigError(f'{here}: "{name}" is none of the peers of '
                          f'"{parent.name}", which are {", ".join(peers)}')
    # It is tested and deployed as its parent is.
    return Network(
        name,
        copy.deepcopy(dict(peers[name])),
        stage=parent.stage,
        part_of=parent.name,
        part=dict(member_of=parent.name))
