# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""DMCP in a chain: numbers of channels that are learned."""
from typing import Tuple

from mmengine.dist import is_distributed
from mmrazor.models.algorithms import DMCP
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.chain.schedules import length_in_iterations
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (Weights, check_search_end,
                                          loaded_network, refuse_fixed_graphs,
                                          refuse_replaced, refuse_sync_bn)
from mmdgkd.models.utils.networks import static_network
from .subnet_dmcp import SubnetDMCP


@register_method
class DMCPMethod(Method):
    """:class:`SubnetDMCP`, which learns numbers of channels."""

    algorithms = (SubnetDMCP, )
    decides_size = True

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The smallest and the largest subnet.

        The masks of the model are changed.

        Raises:
            ConfigError: If given weights have no chosen subnet, or for
                MMRazor's own ``DMCP``.
        """
        if not isinstance(model, SubnetDMCP):
            refuse_replaced(
                network, model, DMCP, 'trains by steps of its own, without '
                'teachers; use SubnetDMCP, around the network alone')
            return ()
        if weights is not None:
            return loaded_network(network, model, weights)
        found = []
        for mode in ('min', 'max'):
            model.set_subnet(mode, arch_train=False)
            found.append(static_network(model))
        return tuple(found)

    def check(self, stage: CheckedStage) -> None:
        """Refuse a search that ends too late or learns nothing.

        The checkpoints would be of a supernet, or of a subnet of arbitrary
        sizes, without an error.
        """
        model, config = stage.model, stage.config
        if not isinstance(model, SubnetDMCP):
            return
        key = f'{stage.key}.model'
        refuse_sync_bn(config, key, 'that is pruned')
        refuse_fixed_graphs(config, f'{key} changes from step to step')
        if is_distributed():
            raise ConfigError(f'{key}.type: SubnetDMCP trains in one process '
                              'alone')
        check_search_end(config, stage.key, f'{key}.search_epochs',
                         model.search_epochs)
        length = length_in_iterations(config, stage.data.samples)
        searched = length and (length // config.train_cfg.max_epochs *
                               model.search_epochs)
        if searched and model.arch_start_train >= searched:
            raise ConfigError(
                f'{key}.arch_start_train: {model.arch_start_train} should be '
                f'before the end of the search, which has {searched} '
                'iterations')
