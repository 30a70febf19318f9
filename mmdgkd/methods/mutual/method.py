# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are trained together, looked at before their stage."""
import copy
import re
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch
from mmrazor.models.task_modules import ModuleOutputsRecorder
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.utils.config import refuse_unknown, type_of
from .mutual_networks import MutualNetworks


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


def mutual_networks(
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """The networks that are trained together, as plain networks.

    Args:
        model (nn.Module): Its model.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: The peers, and last the network that has their file;
        that alone if it is given; none if it is trained by itself.
    """
    if not isinstance(model, MutualNetworks):
        return ()
    if weights is not None:
        return (model.architecture, )
    return (*model.peers.values(), model.architecture)


def check_mutual(network: Network, model: nn.Module,
                 algorithms: Sequence[nn.Module]) -> None:
    """See what does not go with several networks in a step.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        algorithms (Sequence[nn.Module]): Its stage, as one of each of them.

    Raises:
        ConfigError: For guidance that one of them would have to itself.
    """
    if not (isinstance(model, MutualNetworks)
            and isinstance(algorithms[0], DGKD)):
        return
    here = f'chain.networks.{network.name}'
    distiller = algorithms[0].distiller
    if distiller.deliveries.deliveries:
        raise ConfigError(
            f'model.distiller.distill_deliveries: {here} trains several '
            'networks in a step, and a delivery is for one run; leave it out')
    for part in ('connectors', 'distill_losses'):
        for name, module in getattr(distiller, part).items():
            if module.state_dict():
                raise ConfigError(
                    f'model.distiller.{part}.{name}: learns, and {here} '
                    'trains several networks, each of which would need its '
                    'own; use losses without, such as those on logits')
    for name, recorder in distiller.student_recorders.recorders.items():
        if not isinstance(recorder, ModuleOutputsRecorder):
            raise ConfigError(
                f'model.distiller.student_recorders.{name}: {here} trains '
                'several networks, of which modules can be recorded; use '
                "type='mmrazor.ModuleOutputs' or 'mmrazor.ModuleInputs'")


@register_method
class Mutual(Method):
    """:class:`MutualNetworks`, which are trained side by side."""

    algorithms = (MutualNetworks, )

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Read ``member_of``, and check the peers of a ``model``."""
        if 'member_of' in entry:
            model = model_of_member(name, entry, {
                other: network.model
                for other, network in before.items()
            })
            parent = entry['member_of']
            # It is tested and deployed as its network is.
            return Network(
                name,
                model,
                stage=before[parent].stage,
                part_of=parent,
                part=dict(member_of=parent))
        model = entry.get('model')
        if is_mutual(model):
            check_mutual_cfg(name, model)
            if entry.get('init_from'):
                raise ConfigError(
                    f'chain.networks.{name}.init_from: would begin one of the '
                    'networks that are trained together, and not its peers; '
                    'leave it out')
        return None

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """All of the networks."""
        return mutual_networks(model, weights)

    def check(self, stage: CheckedStage) -> None:
        """No loss or recorder may be of one of the networks alone."""
        check_mutual(stage.network, stage.model, stage.algorithms)

    def extract(self, model: MutualNetworks,
                network: Network) -> Dict[str, torch.Tensor]:
        """The weights of one of the peers."""
        return {
            key: data.contiguous()
            for key, data in model.peers[network.name].state_dict().items()
        }

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """Each network is distilled from the others."""
        return ('mutual learning', 'its peers') if is_mutual(model) else None
