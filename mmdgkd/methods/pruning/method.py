# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor's iterative pruning in a chain."""
from dataclasses import dataclass
from typing import Dict, Mapping, Tuple

from mmrazor.models.algorithms import DCFF, ItePruneAlgorithm
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.chain.schedules import length_in_iterations
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (Weights, loaded_network,
                                          refuse_sync_bn)
from mmdgkd.models.utils.networks import hold, static_network
from .fusion_channel_unit import FusionChannelUnit


@register_method
class Pruning(Method):
    """MMRazor's ``ItePruneAlgorithm`` and ``DCFF``.

    The first prunes by the L1 norm of filters (Li et al., ICLR 2017, arXiv
    1608.08710) or others of MMRazor's criteria, the second by arXiv
    2107.06916.
    """

    algorithms = (ItePruneAlgorithm, )
    prunes = True

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The network after the first and after the last pruning.

        It is one network if all is pruned at once. The masks of the model are
        changed.

        Raises:
            ConfigError: For a missing or wrong ratio or schedule, or unknown
                units: MMRazor would prune nothing, without an error.
        """
        if not isinstance(model, ItePruneAlgorithm):
            return ()
        if weights is not None:
            return loaded_network(network, model, weights)
        key = f'chain.networks.{network.name}.model'
        if isinstance(model, DCFF):
            _check_fusion(model, key)
        schedule = _Schedule.of(model, key)
        units = model.mutator.choice_template
        target = _read_target(model, units, f'{key}.target_pruning_ratio')
        # In place: a copy of MMRazor's masks may depend on the original's.
        found = []
        for share in schedule.shares:
            model.mutator.set_choices({
                name:
                type(full)(full + (target[name] - full) * share)
                for name, full in units.items() if name in target
            })
            found.append(static_network(model))
        return tuple(found)

    def check(self, stage: CheckedStage) -> None:
        """Refuse a training that ends before its last pruning.

        The network would stay larger than configured. ``sync_bn`` would
        replace prunable normalization, and nothing would be pruned.
        """
        if not isinstance(stage.model, ItePruneAlgorithm):
            return
        key = f'{stage.key}.model'
        refuse_sync_bn(stage.config, key, 'that is pruned')
        schedule = _Schedule.of(stage.model, key)
        last = (schedule.times - 1) * schedule.step
        # MMRazor counts by iterations where there is one epoch.
        train_cfg = stage.config.get('train_cfg') or {}
        unit, end = 'epoch', train_cfg.get('max_epochs', 1)
        if end == 1:
            unit = 'iteration'
            end = length_in_iterations(stage.config, stage.data.samples)
        if end is None or last < end:
            return
        if schedule.key == 'step_freq':
            raise ConfigError(
                f'{key}.step_freq: {schedule.step} {unit}s; should be fewer '
                f'than the training has, {end}')
        raise ConfigError(
            f'{key}.prune_times: the last of {schedule.times} prunings, one '
            f'each {schedule.step} {unit}s, is after {unit} {last}, the '
            f'training ends after {end}; should be before')


@dataclass(frozen=True)
class _Schedule:
    """When an algorithm prunes.

    Attributes:
        key (str): The option that sets its length.
        times (int): The least number of prunings.
        step (int): Epochs, or iterations, between two.
        shares (tuple[float]): Share of the channels to prune that is gone
            after the first and after the last pruning.
    """

    key: str
    times: int
    step: int
    shares: Tuple[float, ...]

    @classmethod
    def of(cls, model: ItePruneAlgorithm, here: str) -> '_Schedule':
        """Read and check the schedule of an algorithm."""
        fuses = isinstance(model, DCFF)
        for key in ('step_freq', ) if fuses else ('prune_times', 'step_freq'):
            value = getattr(model, key)
            if type(value) is not int or value < 1:
                raise ConfigError(f'{here}.{key}: {value!r} should be an '
                                  'integer, 1 or more')
        if fuses:
            # It fuses to the end; the second fusion must be before that.
            return cls('step_freq', 2, model.step_freq, (1., ))
        times = model.prune_times
        shares = {1 / times, 1.} if model.linear_schedule else {1.}
        return cls('prune_times', times, model.step_freq,
                   tuple(sorted(shares)))


def _check_fusion(model: DCFF, here: str) -> None:
    """Check that the fusion of DCFF can be resumed and loaded."""
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


def _read_target(model: ItePruneAlgorithm, units: Mapping, here: str) -> Dict:
    """Check the target, and convert each ratio to the type of its unit."""
    target = model.target_pruning_ratio
    names = ', '.join(map(repr, units))
    if not isinstance(target, Mapping) or not target:
        raise ConfigError(f'{here}: {target!r}; should be a dict of ratios or '
                          f'numbers of channels that are left, of {names}')
    for name, value in target.items():
        if name not in units:
            raise ConfigError(f'{here}: {name!r} is no unit of channels that '
                              f'can be pruned; there are {names}')
        full = units[name]
        kind = 'a ratio' if isinstance(full, float) else (
            'an integer of channels (a ratio needs default_args='
            "dict(choice_mode='ratio') in channel_unit_cfg)")
        fits = type(value) is int or type(value) is type(full)
        if not fits or not 0 < value <= full:
            raise ConfigError(f'{here}: {name!r}: {value!r} should be {kind}, '
                              f'above 0 and at most {full:g}')
    # MMRazor would take an integer ratio for a number of channels.
    target = {name: type(units[name])(value) for name, value in target.items()}
    model.target_pruning_ratio = target
    return target


class _NoPruning:
    """In place of MMRazor's schedule."""

    def is_prune_time(self, iteration: int) -> bool:
        return False


@hold.register
def _(algorithm: ItePruneAlgorithm) -> None:
    algorithm.prune_config_manager = _NoPruning()
