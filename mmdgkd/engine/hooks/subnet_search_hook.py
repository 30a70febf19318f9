# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
from typing import Any, Dict, Iterator

import torch
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS, LOOPS

from mmdgkd.datasets.randomness import aside, seed_all, step_seed
from mmdgkd.errors import ConfigError
from mmdgkd.models import DGKD, SubnetSPOS
from mmdgkd.models.utils import unwrapped


@HOOKS.register_module()
class SubnetSearchHook(Hook):
    """Chooses the subnet of each :class:`SubnetSPOS` during its training.

    After so many epochs as a supernet MMRazor's ``EvolutionSearchLoop`` tries
    subnets on its own images, with the statistics of their batches in batch
    normalization; the best one is trained for the other epochs. The search
    draws from (seed, step), so that a resumed training chooses the same.

    Args:
        epoch (int): After how many epochs.
        dataloader (dict): Of the images on which subnets are compared; should
            be neither those of the training nor those of the test.
        evaluator (dict | list): Of what they are compared by.
        input_shape (Sequence[int]): Shape (C, H, W) of the image for which the
            operations are counted. Defaults to (3, 32, 32).
        **search: ``constraints_range``, ``max_epochs``, ``num_candidates`` and
            what else the ``EvolutionSearchLoop`` takes. Its ``flops`` are
            millions of multiply-accumulate operations.

    Raises:
        ConfigError: If ``epoch`` is no number above 0, or the sizes of the
            search do not fit together.
    """

    def __init__(self,
                 epoch: int,
                 dataloader: Dict,
                 evaluator: Any,
                 input_shape: Any = (3, 32, 32),
                 **search: Any) -> None:
        here = 'custom_hooks.SubnetSearchHook'
        if type(epoch) is not int or epoch < 1:
            raise ConfigError(f'{here}.epoch: {epoch!r} should be a whole '
                              'number, 1 or more')
        self.epoch = epoch
        self.search = dict(
            type='mmrazor.EvolutionSearchLoop',
            dataloader=dataloader,
            evaluator=evaluator,
            estimator_cfg=dict(
                flops_params_cfg=dict(input_shape=(1, *input_shape))))
        self.search.update(search)
        size = {
            key: search.get(key, default)
            for key, default in (('num_candidates', 50), ('top_k', 10),
                                 ('num_mutation', 25), ('num_crossover', 25))
        }
        bred = size['num_mutation'] + size['num_crossover']
        if max(bred, size['top_k']) > size['num_candidates']:
            raise ConfigError(
                f'{here}.num_candidates: {size["num_candidates"]} should be at'
                f' least top_k, {size["top_k"]}, and num_mutation + '
                f'num_crossover, {bred}')

    def before_train_epoch(self, runner: Any) -> None:
        """Search, if it is time and nothing is chosen yet."""
        if runner.epoch < self.epoch:
            return
        model = unwrapped(runner.model)
        if isinstance(model, DGKD):
            # MMRazor copies the supernet for each subnet that it measures.
            model.distiller.forget()
        for module in model.modules():
            if isinstance(module, SubnetSPOS) and module.chosen is None:
                with aside(), _by_batch_statistics(module):
                    # The same on all ranks.
                    seed_all(step_seed(runner.seed, runner.iter, 0))
                    self._search(runner, module)

    def _search(self, runner: Any, algorithm: SubnetSPOS) -> None:
        loop = LOOPS.build(self.search, default_args=dict(runner=runner))
        # Perhaps inside of another algorithm.
        loop.model = algorithm
        # Its run() would call the hooks of a training of its own.
        while loop.epoch < loop.max_epochs:
            loop.run_epoch()
        best = loop.top_k_candidates
        found = [best.subnets[0], best.scores[0], best.resources('flops')[0]]
        broadcast_object_list(found)
        algorithm.choose(found[0])
        runner.logger.info(
            f'subnet chosen: {", ".join(found[0].values())} '
            f'({found[2]:.2f} M operations, {loop.score_key} {found[1]:.2f})')


@contextlib.contextmanager
def _by_batch_statistics(algorithm: SubnetSPOS) -> Iterator[None]:
    """Those of a supernet are of all paths together, and stay as they are."""
    before = {
        name: buffer.clone()
        for name, buffer in algorithm.architecture.named_buffers()
    }
    norm_training = algorithm.norm_training
    algorithm.norm_training = True
    try:
        yield
    finally:
        algorithm.norm_training = norm_training
        with torch.no_grad():
            for name, buffer in algorithm.architecture.named_buffers():
                buffer.copy_(before[name])
