# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of several widths, looked at before their stage."""
import copy
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import refuse_fixed_graphs
from mmdgkd.models.utils.networks import static_network
from mmdgkd.utils.config import refuse_unknown, type_of
from .joint_slimmable import JointSlimmable
from .widths import name_of_width, read_widths


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
                          ' a step of its own, without teachers; use '
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


def slimmable_networks(
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """The widths of a network, as plain networks.

    Args:
        model (nn.Module): Its model.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: From the narrowest to the widest; that alone if it is
        given, or one width; none if it has no widths.
    """
    if not isinstance(model, JointSlimmable):
        return ()
    if model.is_deployed or weights is not None:
        return (static_network(model), )
    found = []
    for name in reversed(model.width_names):
        model.take(name)
        found.append(static_network(model))
    return tuple(found)


def check_slimmable(network: Network, model: nn.Module, stage: Config) -> None:
    """See what does not go with several widths in a step.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.

    Raises:
        ConfigError: For an option that does not.
    """
    if not isinstance(model, JointSlimmable):
        return
    here = f'chain.networks.{network.name}'
    if stage.get('sync_bn'):
        raise ConfigError(f'sync_bn: {here}.model: would replace the batch '
                          'normalization of its widths; leave it out')
    refuse_fixed_graphs(stage, f'{here} takes all its widths in each step')
    distiller = stage.model.get('distiller') or {}
    if distiller.get('distill_deliveries'):
        raise ConfigError(
            f'model.distiller.distill_deliveries: {here} runs once for each '
            'width, and a delivery is for one run; leave it out')


@register_method
class Slimmable(Method):
    """:class:`JointSlimmable`, a network of several widths."""

    algorithms = (JointSlimmable, )

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Read ``width_of``, and check the widths of a ``model``."""
        if 'width_of' in entry:
            model = model_of_width(name, entry, {
                other: network.model
                for other, network in before.items()
            })
            parent = entry['width_of']
            # It is tested and deployed as its network is.
            return Network(
                name,
                model,
                stage=before[parent].stage,
                part_of=parent,
                part=dict(width_of=parent, width=model['width']))
        if isinstance(entry.get('model'), Mapping):
            check_slimmable_cfg(name, entry['model'])
        return None

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """All of its widths."""
        return slimmable_networks(model, weights)

    def check(self, stage: CheckedStage) -> None:
        """No option may replace what each width has of its own."""
        check_slimmable(stage.network, stage.model, stage.config)

    def extract(self, model: JointSlimmable,
                network: Network) -> Dict[str, torch.Tensor]:
        """The weights of a ``JointSlimmable`` of one width alone."""
        model.take(name_of_width(network.part['width']))
        weights = static_network(model).state_dict()
        model.take(model.width_names[0])
        return {
            f'architecture.{key}': data.contiguous()
            for key, data in weights.items()
        }
