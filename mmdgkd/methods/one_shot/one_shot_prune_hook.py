# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from itertools import islice
from typing import Any, Dict, Iterator, Tuple

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.chain.hooks.init_from_hook import InitFromHook
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.utils.random import aside, seed_all, step_seed
from .one_shot_pruned import OneShotPruned


@HOOKS.register_module()
class OneShotPruneHook(Hook):
    """Prunes the network of a stage once, before its first iteration.

    A chain adds it for :class:`OneShotPruned`. The pass over the data has a
    loader of its own, so that the training reads what it would read without
    it; several processes read a part each, and their gradients are added.
    """

    def before_train(self, runner: Any) -> None:
        """Prune, unless the training was resumed."""
        outer = unwrapped(runner.model)
        for module in outer.modules():
            if isinstance(module, OneShotPruned):
                if not module.is_pruned:
                    module.prune(_scores(runner, outer, module))
                    _report(runner, module)
                module.mask_gradients()


def _scores(runner: Any, outer: Any,
            network: OneShotPruned) -> Dict[str, torch.Tensor]:
    """The importance of the weights by layer."""
    weights = {name: weight.detach() for name, weight in network.weights()}
    if network.criterion == 'magnitude':
        return {name: weight.abs() for name, weight in weights.items()}
    # The network that it begins from has the same logits: no context.
    own = {
        hook.source
        for hook in runner.hooks if isinstance(hook, InitFromHook)
    }
    teachers = {
        name: teacher
        for name, teacher in getattr(outer, 'teachers', {}).items()
        if name not in own
    }
    with aside():
        seed_all(step_seed(runner.seed, 0, get_rank()))
        found = network.gradients(_batches(runner, network), teachers)
    for gradient in found.values():
        all_reduce(gradient)
    return {
        name: (weight * found[name]).abs()
        for name, weight in weights.items()
    }


def _batches(runner: Any,
             network: OneShotPruned) -> Iterator[Tuple[torch.Tensor, Any]]:
    """One pass over the training data."""
    model = unwrapped(runner.model)
    # All processes together read all of it.
    differ = runner.cfg.get('randomness', {}).get('diff_rank_seed', False)
    loader = runner.build_dataloader(runner.cfg.train_dataloader, runner.seed,
                                     differ)
    count = len(loader)
    sampler = getattr(loader.sampler, 'sampler', loader.sampler)
    if isinstance(sampler, InfiniteSampler):
        count = -(-count // get_world_size())
    for batch in islice(loader, min(count, network.batches or count)):
        data = model.data_preprocessor(batch, training=True)
        yield data['inputs'], data['data_samples']


def _report(runner: Any, network: OneShotPruned) -> None:
    left = network.kept()
    kept = sum(count for count, _ in left.values())
    total = sum(size for _, size in left.values())
    name, (count, size) = min(
        left.items(), key=lambda item: item[1][0] / item[1][1])
    runner.logger.info(
        f'pruned once by {network.criterion}: {kept:,} of {total:,} weights '
        f'are left ({kept / total:.1%}); fewest in {name}: {count:,} of '
        f'{size:,}')
    empty = [name for name, (count, _) in left.items() if not count]
    if empty:
        runner.logger.log(
            logging.WARNING, f'model.sparsity: {network.sparsity} leaves '
            f'nothing of {", ".join(empty)}')
