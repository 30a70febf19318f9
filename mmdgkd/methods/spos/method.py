# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are searched in their stage, looked at before it."""
import copy
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, METRICS
from mmrazor.models.algorithms import SPOS
from mmrazor.registry import TASK_UTILS
from mmrazor.structures import export_fix_subnet
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.chain.preflight.trial_forward import key_of_unused
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import check_search_end, refuse_fixed_graphs
from mmdgkd.models.utils.networks import static_form, static_network
from mmdgkd.utils.config import MISTAKES, reason_of, type_of, typed_parts
from mmdgkd.utils.random import aside, seed_all
from .subnet_spos import SubnetSPOS

# So many subnets are drawn to see whether one is within the bounds.
_DRAWS = 100
# What is measured of them; MMRazor measures no latency by default.
_BOUNDED = ('flops', 'params')


def searched_networks(
    network: Network,
    model: nn.Module,
    weights: Optional[Dict[str,
                           torch.Tensor]] = None) -> Tuple[nn.Module, ...]:
    """What may be found in a supernet, as plain networks.

    Args:
        network (Network): The network.
        model (nn.Module): Its model. Its choices are changed.
        weights (dict, optional): Of its file, if it is given.
            Defaults to None.

    Returns:
        tuple[nn.Module]: With the smallest and with the largest candidates;
        the subnet alone if it is given; none if this is no supernet.

    Raises:
        ConfigError: If a given one was not searched, or a supernet is trained
            by something else than ``SubnetSPOS``.
    """
    here = f'chain.networks.{network.name}'
    if not isinstance(model, SubnetSPOS):
        if any(isinstance(module, SPOS) for module in model.modules()):
            raise ConfigError(
                f'{here}.model.type: {type(model).__name__} cannot train the '
                'supernet of a chain; use SubnetSPOS, around the supernet '
                'alone')
        return ()
    if weights is not None:
        model.load_state_dict(weights)
        if not model.chosen:
            raise ConfigError(f'{here}.ckpt_path: {network.ckpt_path!r} is of '
                              'a supernet in which no subnet was chosen')
        return (static_network(model), )
    found = []
    for extreme in (min, max):
        model.mutator.set_choices({
            name:
            extreme(
                group[0].choices, key=lambda choice: _size(group[0], choice))
            for name, group in model.mutator.search_groups.items()
        })
        found.append(static_network(model))
    return tuple(found)


def _size(choice: nn.Module, candidate: str) -> int:
    """Number of parameters of a candidate."""
    block = choice.get_submodule(f'_candidates.{candidate}')
    return sum(param.numel() for param in block.parameters())


def check_search(network: Network, model: nn.Module, stage: Config) -> None:
    """See whether a supernet is searched, in time and with success.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        stage (Config): The config of its stage.

    Raises:
        ConfigError: If it is not searched, or not before the training ends; if
            its images are not there, or are those of the training, validation
            or test; if no subnet is within the bounds; or for an option that
            does not go with it.
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
    _check_options(stage, here)
    try:
        hook = HOOKS.build(copy.deepcopy(dict(searches[0])))
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError('custom_hooks.SubnetSearchHook: '
                          f'{reason_of(error)}') from None
    hook_key = f'{here}: custom_hooks.SubnetSearchHook'
    check_search_end(stage, here, f'{hook_key}.epoch', hook.epoch)
    _check_images(hook.search, stage, hook_key)
    _check_bounds(hook.search, model, hook_key)


def _check_options(stage: Config, here: str) -> None:
    """What does not go with another path in each step."""
    why = f'{here} takes another path in each step'
    refuse_fixed_graphs(stage, why)
    if (stage.get('model_wrapper_cfg') or {}).get('static_graph'):
        raise ConfigError(f'model_wrapper_cfg.static_graph: {why}; leave it '
                          'out')
    key = key_of_unused(stage)
    if key is not None:
        raise ConfigError(
            f'{key}: {here}: must be on with several processes: a path leaves '
            f'most parameters without gradient; set {key}=True')


def _check_images(search: Mapping, stage: Config, here: str) -> None:
    """They are there, and are no others than they should be."""
    try:
        part = 'dataloader.dataset'
        dataset = search['dataloader']['dataset']
        DATASETS.build(copy.deepcopy(dataset))[0]
        part = 'evaluator'
        for cfg in typed_parts(search[part]):
            METRICS.build(copy.deepcopy(cfg))
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError(f'{here}.{part}: {reason_of(error)}') from None

    def images(cfg: Mapping) -> str:
        cfg = cfg.get('dataset') if type_of(cfg) == 'ViewDataset' else cfg
        return repr(
            sorted((key, repr(value)) for key, value in cfg.items()
                   if key != 'pipeline'))

    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        other = (stage.get(key) or {}).get('dataset')
        if other and images(other) == images(dataset):
            raise ConfigError(
                f'{here}.dataloader.dataset: is that of {key}; should be '
                'images of its own, such as training images held out by '
                'indices')


def _check_bounds(search: Mapping, model: SubnetSPOS, here: str) -> None:
    """MMRazor would draw forever, where there is no such subnet."""
    wanted, key = search['constraints_range'], f'{here}.constraints_range'
    if not isinstance(wanted, Mapping) or not set(wanted) <= set(_BOUNDED):
        raise ConfigError(f'{key}: {wanted!r} should be a dict of bounds of '
                          f'{" and ".join(_BOUNDED)}')
    bounds = {}
    for name, value in wanted.items():
        pair = (0, value) if isinstance(value, (int, float)) else value
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(
                isinstance(one, (int, float)) for one in pair):
            raise ConfigError(f'{key}.{name}: {value!r} should be the largest,'
                              ' or the smallest and the largest, in millions')
        bounds[name] = pair
    estimator = TASK_UTILS.build(
        dict(search['estimator_cfg'], type='mmrazor.ResourceEstimator'))
    found: Dict[str, List[float]] = {name: [] for name in bounds}
    with aside():
        seed_all(0)
        for _ in range(_DRAWS):
            model.mutator.set_choices(model.mutator.sample_choices())
            try:
                costs = estimator.estimate(static_network(model))
            except MISTAKES as error:
                raise ConfigError(
                    f'{here}.input_shape: the supernet does not run on such '
                    f'an image ({reason_of(error)})') from None
            for name in bounds:
                found[name].append(costs[name])
            if all(low <= costs[name] <= high
                   for name, (low, high) in bounds.items()):
                return
    had = ', '.join(f'{name} {min(values):g} to {max(values):g}'
                    for name, values in found.items())
    raise ConfigError(f'{key}: {wanted!r}: none of {_DRAWS} subnets that were '
                      f'drawn is within; they have {had}')


@register_method
class SPOSMethod(Method):
    """:class:`SubnetSPOS`: a supernet, and the subnet that is found in it."""

    algorithms = (SubnetSPOS, )
    decides_size = True

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """With the smallest and with the largest candidates."""
        return searched_networks(network, model, weights)

    def check(self, stage: CheckedStage) -> None:
        """There must be subnets within the bounds, searched in time."""
        check_search(stage.network, stage.model, stage.config)


@static_form.register
def _(algorithm: SPOS) -> nn.Module:
    return export_fix_subnet(algorithm, slice_weight=True)[1].architecture
