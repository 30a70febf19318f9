# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are pruned in their stage, looked at before it."""
import copy
from typing import Any, Mapping, Optional

from mmrazor.models.algorithms import ItePruneAlgorithm
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils import static_network
from .chain import Network


def pruned_network(network: Network, model: nn.Module) -> Optional[nn.Module]:
    """What will be left of a network, if it is pruned.

    Args:
        network (Network): The network.
        model (nn.Module): Its model, with weights.

    Returns:
        nn.Module, optional: With some channels of the right number; None if
        it is not pruned, or by an algorithm that finds the number itself.

    Raises:
        ConfigError: If it is to be pruned to no ratio, or in units that it
            has not. MMRazor would prune nothing, and not say so.
    """
    if not isinstance(model, ItePruneAlgorithm):
        return None
    here = f'chain.networks.{network.name}.model.target_pruning_ratio'
    units = model.mutator.choice_template
    target = model.target_pruning_ratio
    names = ', '.join(map(repr, units))
    if not isinstance(target, Mapping) or not target:
        raise ConfigError(f'{here}: {target!r}; should be a dict of ratios or '
                          f'numbers of channels that are left, of {names}')
    for name, value in target.items():
        if name not in units:
            raise ConfigError(f'{here}: {name!r} is no unit of channels that '
                              f'can be pruned; there are {names}')
        most = 1 if isinstance(units[name], float) else units[name]
        kind = 'a ratio' if most == 1 else 'a number of channels'
        if isinstance(
                value,
                bool) or not isinstance(value,
                                        (int, float)) or not 0 < value <= most:
            raise ConfigError(f'{here}: {name!r}: {value!r} should be {kind}, '
                              f'above 0 and at most {most}')
    model = copy.deepcopy(model)
    model.mutator.set_choices(dict(units, **target))
    return static_network(model)


def check_schedule(network: Network, model: nn.Module,
                   train_cfg: Optional[Mapping[str, Any]]) -> None:
    """See whether a training is long enough for all of its prunings.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        train_cfg (Mapping, optional): The loop of its stage.

    Raises:
        ConfigError: If the last pruning would be after its end.
    """
    if not isinstance(model, ItePruneAlgorithm):
        return
    last = (model.prune_times - 1) * model.step_freq
    train_cfg = train_cfg or {}
    # MMRazor counts by iterations where there is one epoch.
    epochs = train_cfg.get('max_epochs', 1)
    end, unit = (epochs,
                 'epoch') if epochs != 1 else (train_cfg.get('max_iters'),
                                               'iteration')
    if end is not None and last >= end:
        raise ConfigError(
            f'chain.networks.{network.name}.model.prune_times: the last of '
            f'{model.prune_times} prunings, one in {model.step_freq} '
            f'{unit}s, is after {unit} {last}, the training ends after '
            f'{end}; should be before')
