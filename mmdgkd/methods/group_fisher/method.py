# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Group Fisher pruning in a chain."""
import math
from typing import Tuple

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmrazor.implementations.pruning.group_fisher import GroupFisherAlgorithm
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.chain.schedules import length_in_iterations
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (Weights, ensure_hook, loaded_network,
                                          refuse_fixed_graphs, refuse_replaced,
                                          refuse_sync_bn)
from mmdgkd.models.utils.networks import static_network
from mmdgkd.utils.config import algorithm_types, type_of
from .fisher_channel_unit import FisherChannelUnit
from .target_group_fisher import TargetGroupFisher


@register_method
class GroupFisher(Method):
    """:class:`TargetGroupFisher`, which prunes one channel after another."""

    algorithms = (TargetGroupFisher, )
    decides_size = True
    prunes = True

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that prunes."""
        if TargetGroupFisher.__name__ in algorithm_types(stage.model):
            ensure_hook(stage, 'GroupFisherHook', before='GeneratedImagesHook')

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network with one channel less in each unit, and unpruned.

        The masks of the model are changed.

        Raises:
            ConfigError: If a unit cannot be resumed, or the target cannot be
                reached.
        """
        if not isinstance(model, TargetGroupFisher):
            refuse_replaced(
                network, model, GroupFisherAlgorithm,
                'cannot have teachers, and prunes without end; use '
                'TargetGroupFisher, around the network alone')
            return ()
        if weights is not None:
            return loaded_network(network, model, weights)
        here = f'chain.networks.{network.name}'
        _check_units(model, f'{here}.model')
        try:
            model.fewest_prunings()
        except ConfigError as error:
            raise ConfigError(f'{here}.{error}') from None
        unpruned = static_network(model)
        for unit in model.mutator.mutable_units:
            unit.mutable_channel.mask[0] = 0.
        return static_network(model), unpruned

    def check(self, stage: CheckedStage) -> None:
        """Refuse a training too short to reach the target.

        The network would stay larger than configured, without an error.
        """
        model, config = stage.model, stage.config
        if not isinstance(model, TargetGroupFisher):
            return
        key = f'{stage.key}.model'
        refuse_sync_bn(config, key, 'that is pruned')
        refuse_fixed_graphs(config, f'{key} changes from step to step')
        if is_distributed():
            # MMRazor converts to SyncBatchNorm, which does not run on a CPU.
            raise ConfigError(f'{key}.type: TargetGroupFisher trains in one '
                              'process alone, without a launcher')
        optimizer = config.get('optim_wrapper') or {}
        if type_of(optimizer) == 'AmpOptimWrapper' and get_device() != 'cpu':
            raise ConfigError(
                'optim_wrapper.type: AmpOptimWrapper scales the gradients by '
                f'which {key} chooses channels, and they overflow; leave it, '
                'or --amp, out')
        end = length_in_iterations(config, stage.data.samples)
        fewest = model.fewest_prunings()
        if end is not None and math.ceil(end / model.interval) < fewest:
            raise ConfigError(
                f'{key}.interval: {model.interval} iterations are too long: '
                f'in the {end} of the training '
                f'{math.ceil(end / model.interval)} channels are pruned, and '
                f'for the target it takes {fewest} at least')


def _check_units(model: TargetGroupFisher, here: str) -> None:
    key = f'{here}.mutator.channel_unit_cfg'
    for unit in model.mutator.mutable_units:
        if not isinstance(unit, FisherChannelUnit):
            raise ConfigError(f'{key}.type: {type(unit).__name__} cannot be '
                              'resumed to the same bits; use '
                              'FisherChannelUnit')
        if unit.mutate_linear:
            # It records the gradient of the bias in place of that of the
            # input, and looks up the channels under wrong names.
            raise ConfigError(f'{key}.default_args.mutate_linear: MMRazor '
                              'cannot count the cost of a linear layer; leave '
                              'it out')
    if not model.mutator.mutable_units:
        raise ConfigError(f'{here}.architecture: has no channels that can be '
                          'pruned')
