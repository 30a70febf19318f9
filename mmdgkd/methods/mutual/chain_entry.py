# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading networks of a chain that are trained together with another."""
import copy
import re
from typing import Any, Dict, Mapping

from mmdgkd.errors import ConfigError
from .mutual_networks import MutualNetworks
from mmdgkd.utils.config_types import type_of
from mmdgkd.chain.options import refuse_unknown


def is_mutual(model: Any) -> bool:
    """Whether a model config is of networks that are trained together."""
    return (isinstance(model, Mapping)
            and type_of(model) == MutualNetworks.__name__)


def check_mutual_cfg(name: str, model: Mapping) -> None:
    """See whether the peers of a network, if it has any, are networks.

    Args:
        name (str): The network.
        model (Mapping): Its model config.

    Raises:
        ConfigError: If they are not.
    """
    if not is_mutual(model):
        return
    here = f'chain.networks.{name}.model.peers'
    peers = model.get('peers')
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


def model_of_member(name: str, entry: Mapping,
                    models: Mapping[str, Mapping]) -> Dict[str, Any]:
    """The model config of a network that is trained with another.

    Args:
        name (str): The network, by the name that it has among the peers.
        entry (Mapping): ``member_of``, the network with which it is trained.
        models (Mapping[str, Mapping]): The model configs of the networks
            before it.

    Raises:
        ConfigError: If there is no such network, or it has no such peer.
    """
    here = f'chain.networks.{name}'
    refuse_unknown(entry, ('member_of', ), here)
    parent = entry['member_of']
    if parent not in models:
        raise ConfigError(f'{here}.member_of: {parent!r} is no network before '
                          f'"{name}"; possible: '
                          f'{", ".join(models) or "none, it is the first"}')
    if not is_mutual(models[parent]):
        raise ConfigError(
            f'{here}.member_of: "{parent}" is trained by itself; a '
            "type='mmrazor.MutualNetworks' is trained with its peers")
    peers = models[parent]['peers']
    if name not in peers:
        raise ConfigError(f'{here}.member_of: "{name}" is none of the peers of'
                          f' "{parent}", which are {", ".join(peers)}')
    return copy.deepcopy(dict(peers[name]))
