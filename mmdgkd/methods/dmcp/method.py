# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks whose numbers of channels are learned in their stage (DMCP)."""
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed
from mmrazor.models.algorithms import DMCP
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.pruning.method import refuse_options
from mmdgkd.methods.stage_options import check_search_end, length_in_iterations
from mmdgkd.models.utils.networks import static_network
from .subnet_dmcp import SubnetDMCP


def dmcp_networks(
    network: Network,
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """What DMCP may leave of a network, as plain networks.

    Args:
        network (Network): The network.
        model (nn.Module): Its model. Its masks are changed.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: Its smallest and its largest subnet; the one that was
        chosen if it is given; none if it is not pruned so.

    Raises:
        ConfigError: If a given one has chosen nothing, or for MMRazor's own.
    """
    here = f'chain.networks.{network.name}'
    if not isinstance(model, SubnetDMCP):
        if any(isinstance(part, DMCP) for part in model.modules()):
            raise ConfigError(
                f'{here}.model.type: {type(model).__name__} trains by steps of'
                ' its own, which no teacher reaches; use SubnetDMCP, around the '
                'network alone')
        return ()
    if weights is not None:
        model.load_state_dict(weights)
        if not model.chosen:
            raise ConfigError(f'{here}.ckpt_path: {network.ckpt_path!r} is of '
                              'a supernet in which no subnet was chosen')
        return (static_network(model), )
    found = []
    for mode in ('min', 'max'):
        model.set_subnet(mode, arch_train=False)
        found.append(static_network(model))
    return tuple(found)


def check_dmcp(network: Network, model: nn.Module, stage: Config,
               samples: Optional[int]) -> None:
    """See whether a training learns sizes, in time, and trains the subnet.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.
        samples (int, optional): Length of its training data.

    Raises:
        ConfigError: If it does not, or for an option that does not go with it.
    """
    if not isinstance(model, SubnetDMCP):
        return
    here = f'chain.networks.{network.name}'
    refuse_options(stage, f'{here}.model')
    if is_distributed():
        raise ConfigError(f'{here}.model.type: SubnetDMCP trains in one '
                          'process alone')
    check_search_end(stage, here, f'{here}.model.search_epochs',
                     model.search_epochs)
    length = length_in_iterations(stage, samples)
    searched = length and (length // stage.train_cfg.max_epochs *
                           model.search_epochs)
    if searched and model.arch_start_train >= searched:
        raise ConfigError(
            f'{here}.model.arch_start_train: {model.arch_start_train} should '
            f'be before the end of the search, which has {searched} '
            'iterations')


@register_method
class DMCPMethod(Method):
    """:class:`SubnetDMCP`, which learns numbers of channels."""

    algorithms = (SubnetDMCP, )
    decides_size = True

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """Its smallest and its largest subnet."""
        return dmcp_networks(network, model, weights)

    def check(self, stage: CheckedStage) -> None:
        """The search must end in time, and other options not change it."""
        check_dmcp(stage.network, stage.model, stage.config,
                   stage.data.samples)
