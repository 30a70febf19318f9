# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import math
from typing import Any, Dict, Optional, Sequence

import torch
from mmengine.model import BaseModel
from mmrazor.implementations.pruning.group_fisher import GroupFisherAlgorithm
from mmrazor.registry import MODELS, TASK_UTILS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import static_network


@MODELS.register_module()
class TargetGroupFisher(GroupFisherAlgorithm):
    """MMRazor's ``GroupFisherAlgorithm``, down to a target.

    Group Fisher Pruning (Liu et al., ICML 2021, arXiv 2108.00708). Every
    ``interval`` iterations it removes the channel with the least importance,
    the squared gradients of its mask (eq. 4), for its cost. At the target it
    stops, and the training goes on. MMRazor's own prunes to the last channel,
    or ends the process, and is finetuned as another model.

    A :class:`GroupFisherHook` does around any training step what MMRazor does
    in a ``train_step`` of its own. So it can have teachers, and its state is
    in its checkpoint.

    Args:
        architecture (dict | BaseModel): The network.
        target_flops_ratio (float): The share of the operations, as MMRazor
            counts them, that is left: above 0 and below 1.
        mutator (dict, optional): A mutator whose units are
            :class:`FisherChannelUnit`. Defaults to None: a
            ``GroupFisherChannelMutator`` of such units.
        interval (int): Iterations from one pruned channel to the next.
            Defaults to 10.
        input_shape (Sequence[int]): Shape (C, H, W) of the image for which the
            operations are counted. Defaults to (3, 32, 32).
        **kwargs (Any): ``data_preprocessor`` and ``init_cfg`` of MMRazor's.

    Raises:
        ConfigError: If the interval or the target is out of its range.
    """

    def __init__(self,
                 architecture: Any,
                 target_flops_ratio: float,
                 mutator: Optional[Dict] = None,
                 interval: int = 10,
                 input_shape: Sequence[int] = (3, 32, 32),
                 **kwargs: Any) -> None:
        if type(interval) is not int or interval < 1:
            raise ConfigError(
                f'model.interval: {interval!r} should be an integer'
                ', 1 or more')
        if not isinstance(target_flops_ratio,
                          float) or not (0 < target_flops_ratio < 1):
            raise ConfigError(
                f'model.target_flops_ratio: {target_flops_ratio!r} should be '
                'the share of the operations that is left, above 0 and below '
                '1')
        super().__init__(
            architecture,
            mutator or dict(
                type='mmrazor.GroupFisherChannelMutator',
                channel_unit_cfg=dict(type='FisherChannelUnit')),
            interval=interval,
            **kwargs)
        self.target_flops_ratio = target_flops_ratio
        self._estimator = TASK_UTILS.build(
            dict(
                type='mmrazor.ResourceEstimator',
                flops_params_cfg=dict(input_shape=(1, *input_shape))))
        self._unpruned: Optional[float] = None
        self._left: Optional[float] = None
        self._fewest: Optional[int] = None

    # That of any model; the hook does the rest.
    train_step = BaseModel.train_step

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.left <= self.target_flops_ratio

    @property
    def left(self) -> float:
        """The share of the operations that is left."""
        if self._left is None:
            self._left = self._flops() / self._unpruned_flops()
        return self._left

    def begin_step(self) -> None:
        """Record a forward and its backward, unless the target is reached."""
        if not self.reached:
            self.mutator.start_record_info()

    def end_step(self, iteration: int) -> bool:
        """Add the recorded gradients; every ``interval`` steps, prune.

        Args:
            iteration (int): The step, counted from 0.

        Returns:
            bool: Whether a channel was pruned.
        """
        if self.reached:
            return False
        self.mutator.end_record_info()
        if self._has_gradients():
            self.mutator.update_imp()
        self.mutator.reset_recorded_info()
        if iteration % self.interval or not self._normalize_importance():
            return False
        before = self._channels()
        self.mutator.try_prune()
        self.mutator.reset_imp()
        self._left = None
        return self._channels() < before

    def fewest_prunings(self) -> int:
        """The least number of channels to prune from the unpruned network.

        Pruning a channel saves most while all others are there.

        Raises:
            ConfigError: If the target is less than what is left with one
                channel in each unit.
        """
        if self._fewest is None:
            masks = [
                unit.mutable_channel.mask
                for unit in self.mutator.mutable_units
            ]
            unpruned = self._unpruned_flops()
            most, before = 0., [mask.clone() for mask in masks]
            for mask in masks:
                mask.fill_(1.)
            for mask in masks:
                mask[0] = 0.
                most = max(most, 1 - self._flops() / unpruned)
                mask[0] = 1.
            for mask in masks:
                mask[1:] = 0.
            least = self._flops() / unpruned
            for mask, saved in zip(masks, before):
                mask.copy_(saved)
            if self.target_flops_ratio < least:
                raise ConfigError(
                    f'model.target_flops_ratio: {self.target_flops_ratio} is '
                    f'too little: with one channel in each unit {least:.3f} '
                    'is left')
            self._fewest = math.ceil((1 - self.target_flops_ratio) / most)
        return self._fewest

    def _normalize_importance(self) -> bool:
        """Divide the importance by its maximum; False if that is 0.

        The order stays. MMRazor reads a value above 1e5 as the last channel,
        and a large loss, such as one of a high tau, may exceed it everywhere.
        """
        sums = [
            unit.normalized_fisher_info for unit in self.mutator.mutable_units
        ]
        largest = max(float(each.max()) for each in sums)
        if not largest > 0:
            return False
        for each in sums:
            each.div_(largest)
        return True

    def _channels(self) -> int:
        return sum(unit.mutable_channel.activated_channels
                   for unit in self.mutator.mutable_units)

    def _has_gradients(self) -> bool:
        """Whether the step was complete, with a backward."""
        return all(
            module.recorded_input
            and len(module.recorded_input) == len(module.recorded_grad)
            for unit in self.mutator.mutable_units
            for module in unit.input_related_dynamic_ops)

    def _unpruned_flops(self) -> float:
        """Millions of operations before any pruning."""
        if self._unpruned is None:
            model = copy.deepcopy(self)
            for unit in model.mutator.mutable_units:
                unit.mutable_channel.mask.fill_(1.)
            self._unpruned = model._flops()
        return self._unpruned

    def _flops(self) -> float:
        """Millions of operations, as MMRazor counts them."""
        # Building modules draws random numbers, which must not change those
        # of the training.
        with torch.random.fork_rng(devices=[]):
            return self._estimator.estimate(static_network(self))['flops']

    def _load_from_state_dict(self, state_dict: Dict, prefix: str, *args: Any,
                              **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        # The masks are loaded later.
        self._left = None
