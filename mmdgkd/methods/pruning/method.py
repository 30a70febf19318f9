# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are pruned in their stage, looked at before it."""
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmrazor.models.algorithms import DCFF, ItePruneAlgorithm
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (length_in_iterations,
                                          refuse_fixed_graphs)
from mmdgkd.models.utils.networks import hold, static_network
from .fusion_channel_unit import FusionChannelUnit


def pruned_networks(
    network: Network,
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """What is left of a network, if it is pruned, as plain networks.

    Args:
        network (Network): The network.
        model (nn.Module): Its model. Its masks are changed.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: After the first and after the last pruning, with as
        many channels as there will be; one if it is given, or pruned at once;
        none if it is not pruned, or by another algorithm.

    Raises:
        ConfigError: If it is to be pruned to no ratio, in units that it has
            not, or never. MMRazor would prune nothing, and not say so.
    """
    if not isinstance(model, ItePruneAlgorithm):
        return ()
    if weights is not None:
        model.load_state_dict(weights)
        return (static_network(model), )
    here = f'chain.networks.{network.name}.model'
    if isinstance(model, DCFF):
        _check_fusion(model, here)
    schedule = _schedule(model, here)
    units = model.mutator.choice_template
    target = _target(model, units, f'{here}.target_pruning_ratio')
    # In place: a copy of MMRazor's masks may be derived from the original's.
    found = []
    for share in schedule.shares:
        choices = {
            name: type(whole)(whole + (target[name] - whole) * share)
            for name, whole in units.items() if name in target
        }
        model.mutator.set_choices(choices)
        found.append(static_network(model))
    return tuple(found)


@dataclass(frozen=True)
class _Schedule:
    """When an algorithm prunes.

    Attributes:
        key (str): What says how long all of it takes.
        times (int): How often at least.
        step (int): How many epochs, or iterations, apart.
        shares (tuple[float]): Of what is taken away, that which is gone after
            the first and after the last time.
    """

    key: str
    times: int
    step: int
    shares: Tuple[float, ...]


def _schedule(model: ItePruneAlgorithm, here: str) -> _Schedule:
    """Read the schedule of an algorithm once, checked."""
    fuses = isinstance(model, DCFF)
    for key in ('step_freq', ) if fuses else ('prune_times', 'step_freq'):
        value = getattr(model, key)
        if type(value) is not int or value < 1:
            raise ConfigError(f'{here}.{key}: {value!r} should be an integer'
                              ', 1 or more')
    if fuses:
        # It goes on to the end; the second time is to be before that.
        return _Schedule('step_freq', 2, model.step_freq, (1., ))
    times = model.prune_times
    shares = {1 / times, 1.} if model.linear_schedule else {1.}
    return _Schedule('prune_times', times, model.step_freq,
                     tuple(sorted(shares)))


def _check_fusion(model: DCFF, here: str) -> None:
    """See whether what DCFF does can be resumed and loaded."""
    for unit in model.mutator.mutable_units:
        if not isinstance(unit, FusionChannelUnit):
            raise ConfigError(
                f'{here}.mutator_cfg.channel_unit_cfg.type: '
                f'{type(unit).__name__} keeps the fusion of filters in no '
                'file; use FusionChannelUnit')
    if model.prune_times:
        raise ConfigError(
            f'{here}.prune_times: {model.prune_times!r}; DCFF fuses filters '
            'every step_freq epochs, to the end; leave it out')
    if model.linear_schedule:
        raise ConfigError(f'{here}.linear_schedule: DCFF prunes at once; '
                          'leave it out')


def _target(model: ItePruneAlgorithm, units: Mapping, here: str) -> Dict:
    """What is to be left, checked, each in the type of its unit."""
    target = model.target_pruning_ratio
    names = ', '.join(map(repr, units))
    if not isinstance(target, Mapping) or not target:
        raise ConfigError(f'{here}: {target!r}; should be a dict of ratios or '
                          f'numbers of channels that are left, of {names}')
    for name, value in target.items():
        if name not in units:
            raise ConfigError(f'{here}: {name!r} is no unit of channels that '
                              f'can be pruned; there are {names}')
        whole = units[name]
        kind = 'a ratio' if isinstance(whole, float) else (
            'an integer of channels (a ratio needs default_args='
            "dict(choice_mode='ratio') in channel_unit_cfg)")
        fits = type(value) is int or type(value) is type(whole)
        if not fits or not 0 < value <= whole:
            raise ConfigError(f'{here}: {name!r}: {value!r} should be {kind}, '
                              f'above 0 and at most {whole:g}')
    # An integer ratio would be taken for a number of channels.
    target = {name: type(units[name])(value) for name, value in target.items()}
    model.target_pruning_ratio = target
    return target


def check_schedule(network: Network, model: nn.Module, stage: Config,
                   samples: Optional[int]) -> None:
    """See whether a training is long enough for all of its prunings.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.
        samples (int, optional): Length of its training data.

    Raises:
        ConfigError: If the last pruning would be after its end, or if another
            batch normalization would take the place of the prunable one.
    """
    if not isinstance(model, ItePruneAlgorithm):
        return
    here = f'chain.networks.{network.name}.model'
    _refuse_sync_bn(stage, here)
    schedule = _schedule(model, here)
    last = (schedule.times - 1) * schedule.step
    # MMRazor counts by iterations where there is one epoch.
    unit, end = 'epoch', (stage.get('train_cfg') or {}).get('max_epochs', 1)
    if end == 1:
        unit, end = 'iteration', length_in_iterations(stage, samples)
    if end is None or last < end:
        return
    if schedule.key == 'step_freq':
        raise ConfigError(f'{here}.step_freq: {schedule.step} {unit}s; should '
                          f'be fewer than the training has, {end}')
    raise ConfigError(
        f'{here}.prune_times: the last of {schedule.times} prunings, one each '
        f'{schedule.step} {unit}s, is after {unit} {last}, the training ends '
        f'after {end}; should be before')


def refuse_options(stage: Config, here: str) -> None:
    """What does not go with a network that changes from step to step.

    Args:
        stage (Config): The config of its stage.
        here (str): The key of its model.

    Raises:
        ConfigError: If such an option is on.
    """
    _refuse_sync_bn(stage, here)
    refuse_fixed_graphs(stage, f'{here} changes from step to step')


def _refuse_sync_bn(stage: Config, here: str) -> None:
    if stage.get('sync_bn'):
        raise ConfigError(f'sync_bn: {here}: would replace the batch '
                          'normalization that is pruned; leave it out')


@register_method
class Pruning(Method):
    """MMRazor's ``ItePruneAlgorithm`` (L1 and others) and ``DCFF``."""

    algorithms = (ItePruneAlgorithm, )

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """What is left after the first and after the last pruning."""
        return pruned_networks(network, model, weights)

    def check(self, stage: CheckedStage) -> None:
        """All of its prunings must be within the training."""
        check_schedule(stage.network, stage.model, stage.config,
                       stage.data.samples)


class _NoPruning:
    """In place of MMRazor's schedule."""

    def is_prune_time(self, iteration: int) -> bool:
        return False


@hold.register
def _(algorithm: ItePruneAlgorithm) -> None:
    algorithm.prune_config_manager = _NoPruning()
