# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
from typing import Any, Dict, Iterator, Sequence

import torch
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS, LOOPS

from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.utils.random import aside, seed_all, step_seed
from .subnet_spos import SubnetSPOS


@HOOKS.register_module()
class SubnetSearchHook(Hook):
    """Chooses the subnet of each :class:`SubnetSPOS` during its training.

    After the first epochs, as a supernet, MMRazor's ``EvolutionSearchLoop``
    (Guo et al., ECCV 2020, arXiv 1904.00420) evaluates subnets on
    images of its own, by batch statistics in batch normalization. The best one
    is trained for the other epochs. The draws of the search are a function of
    (seed, step), so that a resumed training chooses the same.

    Args:
        epoch (int): Number of epochs before the search.
        dataloader (dict): Images on which subnets are compared; should be
            neither those of the training nor those of the test.
        evaluator (dict | list): The metrics of the comparison.
        constraints_range (dict): Bounds of ``flops`` and ``params``, in
            millions: the largest, or the smallest and the largest. MMRazor
            counts multiply-accumulate operations as ``flops``, those of batch
            normalization and ReLU too.
        input_shape (Sequence[int]): Shape (C, H, W) of the image for which the
            operations are counted. Defaults to (3, 32, 32).
        score_key (str): The metric to maximize. Defaults to 'accuracy/top1'.
        max_epochs (int): Rounds of the search. Defaults to 3.
        num_candidates (int): Subnets in a round. Defaults to 12.
        top_k (int): Best subnets, from which the next round is made.
            Defaults to 4.
        num_mutation (int): Mutations in a round. Defaults to 6.
        num_crossover (int): Crossovers in a round. Defaults to 6.
        mutate_prob (float): Probability that a mutation changes a choice.
            Defaults to 0.1.

    Raises:
        ConfigError: If a number is not above 0, or the sizes of the search do
            not fit together.
    """

    # After averaged weights have replaced the others.
    priority = 'LOWEST'

    def __init__(self,
                 epoch: int,
                 dataloader: Dict,
                 evaluator: Any,
                 constraints_range: Dict[str, Any],
                 input_shape: Sequence[int] = (3, 32, 32),
                 score_key: str = 'accuracy/top1',
                 max_epochs: int = 3,
                 num_candidates: int = 12,
                 top_k: int = 4,
                 num_mutation: int = 6,
                 num_crossover: int = 6,
                 mutate_prob: float = 0.1) -> None:
        here = 'custom_hooks.SubnetSearchHook'
        sizes = dict(
            max_epochs=max_epochs,
            num_candidates=num_candidates,
            top_k=top_k,
            num_mutation=num_mutation,
            num_crossover=num_crossover)
        for key, value in dict(sizes, epoch=epoch).items():
            if type(value) is not int or value < 1:
                raise ConfigError(
                    f'{here}.{key}: {value!r} should be an integer'
                    ', 1 or more')
        bred = num_mutation + num_crossover
        if max(bred, top_k) > num_candidates:
            raise ConfigError(
                f'{here}.num_candidates: {num_candidates} should be at least '
                f'top_k, {top_k}, and num_mutation + num_crossover, {bred}')
        self.epoch = epoch
        self.search = dict(
            type='mmrazor.EvolutionSearchLoop',
            dataloader=dataloader,
            evaluator=evaluator,
            estimator_cfg=dict(
                flops_params_cfg=dict(input_shape=(1, *input_shape))),
            constraints_range=constraints_range,
            score_key=score_key,
            mutate_prob=mutate_prob,
            **sizes)

    def before_train_epoch(self, runner: Any) -> None:
        """Search after ``epoch`` epochs, unless a subnet is chosen."""
        if runner.epoch < self.epoch:
            return
        model = unwrapped(runner.model)
        if isinstance(model, DGKD):
            # MMRazor copies the supernet for each subnet that it counts.
            model.distiller.forget()
        for module in model.modules():
            if isinstance(module, SubnetSPOS) and module.chosen is None:
                with aside(), _by_batch_statistics(module):
                    # The same on all ranks.
                    seed_all(step_seed(runner.seed, runner.iter, 0))
                    self._search(runner, module)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Save the choice.

        The average of weights does not update the buffer that holds it.
        """
        for name, module in unwrapped(runner.model).named_modules():
            if isinstance(module, SubnetSPOS) and module.chosen:
                key = f'{name}.subnet' if name else 'subnet'
                checkpoint['state_dict'][key] = module.numbers(module.chosen)

    def _search(self, runner: Any, algorithm: SubnetSPOS) -> None:
        loop = LOOPS.build(self.search, default_args=dict(runner=runner))
        # It may be inside of another algorithm.
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
    """Use batch statistics; the running ones are those of all paths.

    The buffers of the network are restored afterwards.
    """
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
