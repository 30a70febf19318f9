# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""SPOS in a chain: a supernet, its search and its subnet in one stage."""
import copy
from typing import Any, Dict, List, Mapping, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, METRICS
from mmrazor.models.algorithms import SPOS
from mmrazor.registry import TASK_UTILS
from mmrazor.structures import export_fix_subnet
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import (Weights, check_search_end,
                                          loaded_network, refuse_fixed_graphs,
                                          refuse_replaced)
from mmdgkd.models.utils.networks import static_form, static_network
from mmdgkd.utils.config import reason_of, type_of, typed_parts
from mmdgkd.utils.random import aside, seed_all
from .subnet_spos import SubnetSPOS

# Number of subnets that are drawn to find one within the bounds.
_DRAWS = 100
# MMRazor measures no latency by default.
_BOUNDED = ('flops', 'params')


@register_method
class SPOSMethod(Method):
    """:class:`SubnetSPOS`: a supernet, and the subnet that is found in it."""

    algorithms = (SubnetSPOS, )
    decides_size = True

    def stand_ins(self,
                  network: Network,
                  model: nn.Module,
                  weights: Weights = None) -> Tuple[nn.Module, ...]:
        """The networks of the smallest and of the largest candidates.

        The choices of the model are changed.

        Raises:
            ConfigError: If given weights have no chosen subnet, or for
                MMRazor's own ``SPOS``.
        """
        if not isinstance(model, SubnetSPOS):
            refuse_replaced(
                network, model, SPOS, 'cannot train the supernet of a chain; '
                'use SubnetSPOS, around the supernet alone')
            return ()
        if weights is not None:
            return loaded_network(network, model, weights)
        found = []
        for extreme in (min, max):
            model.mutator.set_choices({
                name:
                extreme(
                    group[0].choices,
                    key=lambda choice: _num_params(group[0], choice))
                for name, group in model.mutator.search_groups.items()
            })
            found.append(static_network(model))
        return tuple(found)

    def check(self, stage: CheckedStage) -> None:
        """Refuse a supernet that is not searched in time, or on wrong images.

        Its checkpoints would be of a supernet, a search without a subnet
        within the bounds would not end, and one on validation or test images
        would report too high an accuracy, all without an error.
        """
        if not isinstance(stage.model, SubnetSPOS):
            return
        _check_options(stage.config, stage.key)
        hook = _build_search_hook(stage.config, stage.key)
        key = f'{stage.key}: custom_hooks.SubnetSearchHook'
        check_search_end(stage.config, stage.key, f'{key}.epoch', hook.epoch)
        _check_images(hook.search, stage.config, key)
        _check_bounds(hook.search, stage.model, key)


def _num_params(choice: nn.Module, candidate: str) -> int:
    block = choice.get_submodule(f'_candidates.{candidate}')
    return sum(param.numel() for param in block.parameters())


def _build_search_hook(stage: Config, here: str) -> Any:
    searches = [
        hook for hook in stage.get('custom_hooks') or ()
        if type_of(hook) == 'SubnetSearchHook'
    ]
    if len(searches) != 1:
        raise ConfigError(
            f'{here}.stage.custom_hooks: has {len(searches)} SubnetSearchHook '
            'for its supernet; should have one')
    try:
        return HOOKS.build(copy.deepcopy(dict(searches[0])))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError('custom_hooks.SubnetSearchHook: '
                          f'{reason_of(error)}') from None


def _check_options(stage: Config, here: str) -> None:
    """Refuse options that need the same path in each step."""
    why = f'{here} takes another path in each step'
    refuse_fixed_graphs(stage, why)
    if (stage.get('model_wrapper_cfg') or {}).get('static_graph'):
        raise ConfigError(f'model_wrapper_cfg.static_graph: {why}; leave it '
                          'out')


def _check_images(search: Mapping, stage: Config, here: str) -> None:
    """Check that the images exist and are those of no other dataloader."""
    try:
        part = 'dataloader.dataset'
        dataset = search['dataloader']['dataset']
        DATASETS.build(copy.deepcopy(dataset))[0]
        part = 'evaluator'
        for cfg in typed_parts(search[part]):
            METRICS.build(copy.deepcopy(cfg))
    except ConfigError:
        raise
    except Exception as error:
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
    """Check that a subnet is within the bounds, or MMRazor draws forever."""
    wanted, key = search['constraints_range'], f'{here}.constraints_range'
    bounds = _read_bounds(wanted, key)
    estimator = TASK_UTILS.build(
        dict(search['estimator_cfg'], type='mmrazor.ResourceEstimator'))
    found: Dict[str, List[float]] = {name: [] for name in bounds}
    with aside():
        seed_all(0)
        for _ in range(_DRAWS):
            model.mutator.set_choices(model.mutator.sample_choices())
            try:
                costs = estimator.estimate(static_network(model))
            except Exception as error:
                raise ConfigError(
                    f'{here}.input_shape: the supernet does not run on such '
                    f'an image ({reason_of(error)})') from None
            for name in bounds:
                found[name].append(costs[name])
            if all(low <= costs[name] <= high
                   for name, (low, high) in bounds.items()):
                return
    ranges = ', '.join(f'{name} {min(values):g} to {max(values):g}'
                       for name, values in found.items())
    raise ConfigError(f'{key}: {wanted!r}: none of {_DRAWS} subnets that were '
                      f'drawn is within; they have {ranges}')


def _read_bounds(wanted: Any, key: str) -> Dict[str, Tuple[float, float]]:
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
    return bounds


@static_form.register
def _(algorithm: SPOS) -> nn.Module:
    return export_fix_subnet(algorithm, slice_weight=True)[1].architecture
