# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks from which Group Fisher pruning takes one channel after another."""
import math
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmrazor.implementations.pruning.group_fisher import GroupFisherAlgorithm
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.pruning.method import refuse_options
from mmdgkd.methods.stage_options import have_hook, length_in_iterations
from mmdgkd.models.utils.networks import static_network
from mmdgkd.utils.config import algorithm_types, type_of
from .fisher_channel_unit import FisherChannelUnit
from .target_group_fisher import TargetGroupFisher


def fisher_networks(
    network: Network,
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """What Group Fisher pruning may leave of a network, as plain networks.

    Args:
        network (Network): The network.
        model (nn.Module): Its model. Its masks are changed.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: With a channel less in each unit, and whole; what is
        left of it if it is given; none if it is not pruned so.

    Raises:
        ConfigError: If it could not be resumed, or not come to its target.
    """
    here = f'chain.networks.{network.name}'
    if not isinstance(model, TargetGroupFisher):
        if any(
                isinstance(part, GroupFisherAlgorithm)
                for part in model.modules()):
            raise ConfigError(
                f'{here}.model.type: {type(model).__name__} cannot be guided, '
                'and prunes without end; use TargetGroupFisher, around the '
                'network alone')
        return ()
    if weights is not None:
        model.load_state_dict(weights)
        return (static_network(model), )
    units = model.mutator.mutable_units
    key = f'{here}.model.mutator.channel_unit_cfg'
    for unit in units:
        if not isinstance(unit, FisherChannelUnit):
            raise ConfigError(f'{key}.type: {type(unit).__name__} cannot be '
                              'resumed to the same bits; use '
                              'FisherChannelUnit')
        if unit.mutate_linear:
            # It hears the gradient of the bias in place of that of the input,
            # and looks for the channels under names that they have not.
            raise ConfigError(f'{key}.default_args.mutate_linear: MMRazor '
                              'cannot count what a linear layer costs; leave '
                              'it out')
    if not units:
        raise ConfigError(f'{here}.model.architecture: has no channels that '
                          'can be pruned')
    try:
        model.fewest_prunings()
    except ConfigError as error:
        raise ConfigError(f'{here}.{error}') from None
    whole = static_network(model)
    for unit in units:
        unit.mutable_channel.mask[0] = 0.
    return static_network(model), whole


def check_fisher(network: Network, model: nn.Module, stage: Config,
                 samples: Optional[int]) -> None:
    """See whether a training can come to the target of its pruning.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.
        samples (int, optional): Length of its training data.

    Raises:
        ConfigError: If it is too short, or for an option that does not go
            with it.
    """
    if not isinstance(model, TargetGroupFisher):
        return
    here = f'chain.networks.{network.name}.model'
    refuse_options(stage, here)
    if is_distributed():
        # It makes SyncBatchNorm of the normalization, which no CPU runs.
        raise ConfigError(f'{here}.type: TargetGroupFisher trains in one '
                          'process alone, without a launcher')
    if type_of(stage.get('optim_wrapper')
               or {}) == 'AmpOptimWrapper' and get_device() != 'cpu':
        raise ConfigError('optim_wrapper.type: AmpOptimWrapper scales the '
                          f'gradients by which {here} chooses channels, and '
                          'they overflow; leave it, or --amp, out')
    end = length_in_iterations(stage, samples)
    fewest = model.fewest_prunings()
    if end is not None and math.ceil(end / model.interval) < fewest:
        raise ConfigError(
            f'{here}.interval: {model.interval} iterations are too long: in '
            f'the {end} of the training {math.ceil(end / model.interval)} '
            f'channels are pruned, and for the target it takes {fewest} at '
            'least')


@register_method
class GroupFisher(Method):
    """:class:`TargetGroupFisher`, which prunes one channel after another."""

    algorithms = (TargetGroupFisher, )
    decides_size = True

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that prunes."""
        if TargetGroupFisher.__name__ in algorithm_types(stage.model):
            have_hook(stage, 'GroupFisherHook')

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """With a channel less in each unit, and whole."""
        return fisher_networks(network, model, weights)

    def check(self, stage: CheckedStage) -> None:
        """The training must be long enough for the target."""
        check_fisher(stage.network, stage.model, stage.config,
                     stage.data.samples)
