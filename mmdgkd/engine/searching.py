# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are searched in their stage, looked at before it."""
import copy
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS
from mmrazor.registry import TASK_UTILS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models import SubnetSPOS
from mmdgkd.models.utils import static_network, type_of
from .chain import Network
from .stage_check import MISTAKES, reason_of
from .stage_trial import key_of_unused


def searched_networks(
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """What may be found in a supernet, as plain networks.

    Args:
        model (nn.Module): A model of the chain.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: With the smallest and with the largest candidates;
        the subnet alone if it is chosen; none if this is no supernet.
    """
    if not isinstance(model, SubnetSPOS):
        return ()
    if weights is not None:
        model.load_state_dict(weights)
    if model.chosen:
        return (static_network(model), )
    found = []
    for extreme in (min, max):
        probe = copy.deepcopy(model)
        probe.choose({
            name:
            extreme(
                group[0].choices, key=lambda choice: _size(group[0], choice))
            for name, group in probe.mutator.search_groups.items()
        })
        found.append(static_network(probe))
    return tuple(found)


def _size(choice: nn.Module, candidate: str) -> int:
    """Number of parameters of a candidate."""
    block = choice.get_submodule(f'_candidates.{candidate}')
    return sum(param.numel() for param in block.parameters())


def check_search(network: Network, model: nn.Module,
                 extremes: Sequence[nn.Module], stage: Config) -> None:
    """See whether a supernet is searched, in time and with success.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        extremes (Sequence[nn.Module]): Of :func:`searched_networks`.
        stage (Config): The config of its stage.

    Raises:
        ConfigError: If it is not searched, or not before the training ends; if
            its images are not there; if no subnet can be as small or as large
            as is asked for; or for an option that does not go with it.
    """
    if not isinstance(model, SubnetSPOS):
        return
    here = f'chain.networks.{network.name}'
    hooks: Dict[str, List[Mapping]] = {}
    for hook in stage.get('custom_hooks') or ():
        hooks.setdefault(type_of(hook), []).append(hook)
    searches = hooks.get('SubnetSearchHook', [])
    if len(searches) != 1:
        raise ConfigError(
            f'{here}.stage.custom_hooks: has {len(searches)} SubnetSearchHook '
            'for its supernet; should have one')
    for hook in hooks.get('FastNetworkHook', ()):
        if hook.get('compile'):
            raise ConfigError(f'custom_hooks: FastNetworkHook.compile: {here} '
                              'takes another path in each step; leave it out')
    key = key_of_unused(stage)
    if key is not None:
        raise ConfigError(
            f'{key}: {here}: must be on with several processes: a path leaves '
            f'most parameters without gradient; set {key}=True')
    cfg = copy.deepcopy(dict(searches[0]))
    try:
        hook = HOOKS.build(cfg)
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError('custom_hooks.SubnetSearchHook: '
                          f'{reason_of(error)}') from None
    here = f'{here}: custom_hooks.SubnetSearchHook'
    epochs = (stage.get('train_cfg') or {}).get('max_epochs')
    if epochs is None or hook.epoch >= epochs:
        raise ConfigError(
            f'{here}.epoch: {hook.epoch} should be before the end of the '
            f'training, which has {epochs or "no"} epochs')
    try:
        DATASETS.build(hook.search['dataloader']['dataset'])
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError(f'{here}.dataloader.dataset: '
                          f'{reason_of(error)}') from None
    _check_range(hook.search, extremes, here)


def _check_range(search: Mapping, extremes: Sequence[nn.Module],
                 here: str) -> None:
    """MMRazor would draw forever, where there is no such subnet."""
    wanted = search.get('constraints_range', dict(flops=(0., 330.)))
    estimator = TASK_UTILS.build(
        dict(search['estimator_cfg'], type='mmrazor.ResourceEstimator'))
    found = [estimator.estimate(extreme) for extreme in extremes]
    for key, bounds in (wanted or {}).items():
        key_here = f'{here}.constraints_range'
        if key not in found[0]:
            raise ConfigError(f'{key_here}: {key!r} is unknown; it takes '
                              f'{", ".join(found[0])}')
        low, high = bounds if isinstance(bounds,
                                         (list, tuple)) else (0, bounds)
        if low > found[-1][key] or high < found[0][key]:
            raise ConfigError(
                f'{key_here}: no subnet has {key} from {low:g} to {high:g}; '
                f'they have {found[0][key]:g} to {found[-1][key]:g}')
