# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import random
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import DMCP
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.step_clock import StepClock
from .expected_macs import ExpectedMacs

_KINDS = ('max', 'min', 'arch_random')
# MMRazor's clamp at 0 has no gradient at 0, where all parameters begin.
_LEAST = 1e-4


@MODELS.register_module()
class SubnetDMCP(DMCP):
    """MMRazor's ``DMCP`` in one forward a step, and then its subnet alone.

    Differentiable Markov Channel Pruning (Guo et al., CVPR 2020, arXiv
    2005.03354). In the first epochs it is a supernet: its subnets are trained
    in turn, and the number of channel groups of each unit is learned by
    gradients. Then it chooses the expected sizes, within ``target_macs``, and
    trains that subnet alone. It is one training, whose state is in its
    checkpoint.

    MMRazor's own trains several subnets in each step, by a ``train_step`` and
    optimizers of its own, and its largest is the teacher of the others; here
    each is distilled from the teachers of the network. MMRazor's loss of
    operations counts all input channels of a layer, and does not stop at the
    target.

    Args:
        architecture (dict | BaseModel): The network.
        mutator_cfg (dict): A ``DMCPChannelMutator``. Its ``pruning_cfg`` has
            the smallest and largest share of channels, and that of a group.
        target_macs (float): The most multiply-accumulate operations of the
            subnet, in millions; of convolutions and matrix products.
        search_epochs (int): Epochs as a supernet.
        strategy (Sequence[str]): The subnets to train in turn, step by step:
            ``'max'``, ``'min'``, and ``'arch_random'``, which draws uniformly
            at first and then by the learned sizes.
            Defaults to ('max', 'min', 'arch_random').
        arch_start_train (int): Iterations before sizes are learned.
            Defaults to 0.
        arch_train_freq (int): Sizes are learned in one of so many iterations,
            in the largest network. Defaults to 2.
        flop_loss_weight (float): Weight of ``loss_flops``, the absolute
            logarithm of expected over target operations. Defaults to 1.0.
        input_shape (Sequence[int]): Shape (C, H, W) of the image for which the
            operations are counted. Defaults to (3, 32, 32).
        **kwargs (Any): ``data_preprocessor`` and ``init_cfg`` of ``DMCP``.

    Attributes:
        groups (torch.Tensor): Number of groups of each unit in the subnet,
            beside the fewest channels; int64 of shape (units, ), -1 before
            it is chosen.

    Raises:
        ConfigError: If a number is out of its range, a unit has no groups, or
            no subnet is within the target.
    """

    def __init__(self,
                 architecture: Any,
                 mutator_cfg: Dict,
                 target_macs: float,
                 search_epochs: int,
                 strategy: Sequence[str] = _KINDS,
                 arch_start_train: int = 0,
                 arch_train_freq: int = 2,
                 flop_loss_weight: float = 1.0,
                 input_shape: Sequence[int] = (3, 32, 32),
                 **kwargs: Any) -> None:
        for key, value, least in (('search_epochs', search_epochs, 1),
                                  ('arch_start_train', arch_start_train, 0),
                                  ('arch_train_freq', arch_train_freq, 1)):
            if type(value) is not int or value < least:
                raise ConfigError(
                    f'model.{key}: {value!r} should be an integer'
                    f', {least} or more')
        if not strategy or not set(strategy) <= set(_KINDS):
            raise ConfigError(f'model.strategy: {strategy!r} should be some of'
                              f' {", ".join(_KINDS)}')
        super().__init__(
            dict(type='mmrazor.ConfigurableDistiller'),
            architecture,
            mutator_cfg,
            strategy=list(strategy),
            arch_start_train=arch_start_train,
            arch_train_freq=arch_train_freq,
            flop_loss_weight=flop_loss_weight,
            **kwargs)
        # The teachers of the network replace it.
        del self.distiller
        self.target_macs = target_macs
        self.search_epochs = search_epochs
        self._check_units()
        self.macs = ExpectedMacs(self.architecture, self.mutator.units,
                                 input_shape)
        self._check_target()
        self.register_buffer('groups',
                             torch.full((len(self.mutator.units), ), -1))
        self._chosen = False
        self._version = self.groups._version
        self._clock = StepClock()
        self._rest()

    # That of any model, with one optimizer.
    train_step = BaseModel.train_step

    @property
    def chosen(self) -> bool:
        """Whether the subnet is chosen."""
        if self._version != self.groups._version:
            # A step that was undone has undone the choice, too.
            self._read_groups()
        return self._chosen

    def sizes(self, groups: Sequence[Any]) -> List[Any]:
        """The channels of each unit.

        Args:
            groups (Sequence[int | torch.Tensor]): Number of groups of each.
        """
        return [
            fewest + size * number
            for (size, _, fewest), number in zip(self._attrs(), groups)
        ]

    def expected(self) -> List[torch.Tensor]:
        """The expected number of groups of each unit, scalars (eq. 7)."""
        return [
            torch.exp(-param.clamp(min=0)).cumprod(0).sum()
            for param in self.mutator.arch_params.values()
        ]

    def choose(self) -> None:
        """Choose the subnet of the expected sizes, within the target."""
        with torch.no_grad():
            expected = [float(number) for number in self.expected()]
        groups = nearest_within(expected,
                                lambda numbers: self.macs(self.sizes(numbers)),
                                self.target_macs * 1e6)
        self.groups.copy_(torch.tensor(groups))
        self._read_groups()
        sizes = self.sizes(groups)
        print_log(
            f'subnet chosen: channels {sizes} ({self.macs(sizes) / 1e6:.2f} M '
            'operations)', 'current')

    def loss(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None,
    ) -> Dict[str, torch.Tensor]:
        """The losses of the chosen subnet, or of that of this step.

        Args:
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
        """
        if self.training and not self.chosen and (self._epoch()
                                                  >= self.search_epochs):
            self.choose()
        if self.chosen or not self.training:
            return super().loss(inputs, data_samples)
        step = self._clock.tick()
        self.arch_train = step >= self.arch_start_train
        learn = self.arch_train and step % self.arch_train_freq == 0
        # Counts the steps in which no sizes are learned.
        turn = step - (1 +
                       step // self.arch_train_freq if self.arch_train else 0)
        kind = 'max' if learn else self.strategy[turn % len(self.strategy)]
        if kind == 'arch_random':
            kind = 'direct' if self.arch_train else 'random'
        for param in self.mutator.arch_params.values() if learn else ():
            param.data.clamp_(min=_LEAST)
        # In the other steps they are constants.
        self.mutator.arch_params.requires_grad_(learn)
        try:
            with _drawn_from(f'{self._clock.seed} {step}'):
                self.set_subnet(kind)
            losses = super().loss(inputs, data_samples)
            if learn:
                expected = self.macs(self.sizes(self.expected()))
                losses = dict(losses, loss_flops=self._off_target(expected))
            return losses
        finally:
            self.mutator.arch_params.requires_grad_(True)
            self._rest()

    def _off_target(self, expected: torch.Tensor) -> torch.Tensor:
        """The loss of operations: 0 from 95 to 100 % of the target."""
        off = torch.log(expected / (self.target_macs * 1e6))
        within = (off <= 0) & (expected >= .95e6 * self.target_macs)
        return self.flop_loss_weight * torch.where(within, off * 0, off.abs())

    def _check_units(self) -> None:
        for unit, (size, number, _) in zip(self.mutator.units, self._attrs()):
            if not unit.is_mutable:
                raise ConfigError(f'model.architecture: its unit {unit.name!r}'
                                  ' cannot be pruned, but DMCP prunes all')
            if size < 1 or number < 1:
                raise ConfigError(
                    f'model.mutator_cfg.pruning_cfg: '
                    f'{self.mutator.pruning_cfg} makes no groups of the '
                    f'{unit.num_channels} channels of '
                    f'{unit.name!r}; the last number should be larger')

    def _check_target(self) -> None:
        least, most = (
            self.macs(self.sizes([share * n for n in self._most()]))
            for share in (0, 1))
        if not least <= self.target_macs * 1e6 < most:
            raise ConfigError(
                f'model.target_macs: {self.target_macs!r} should be from '
                f'{least / 1e6:.3f}, those of the smallest subnet, to below '
                f'{most / 1e6:.3f} million, those of the largest one')

    def _attrs(self) -> List[Tuple[int, int, int]]:
        """For each unit: channels of a group, groups, fewest channels."""
        return list(self.mutator._arch_params_attr.values())

    def _most(self) -> List[int]:
        """All groups of each unit."""
        return [number for _, number, _ in self._attrs()]

    def _epoch(self) -> int:
        hub = MessageHub.get_current_instance()
        # As in StepClock: outside of training it is that of an earlier loop.
        return hub.get_info('epoch') if hub.get_info(
            'loop_stage') == 'train' else 0

    def _rest(self) -> None:
        """Be the same network outside of training steps."""
        groups = self.groups.tolist() if self.chosen else self._most()
        self.mutator.set_choices({
            str(i): size
            for i, size in enumerate(self.sizes(groups))
        })
        self.mutator.modify_supernet_forward(False)

    def _read_groups(self) -> None:
        """Apply the buffer."""
        self._chosen = bool(self.groups.min() >= 0)
        self._version = self.groups._version
        self._rest()

    def _load_from_state_dict(self, state_dict: Dict, prefix: str, *args: Any,
                              **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._read_groups()


@contextlib.contextmanager
def _drawn_from(seed: str) -> Iterator[None]:
    """Seed the module ``random`` for a block, and restore it afterwards.

    Args:
        seed (str): The seed.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def nearest_within(expected: Sequence[float], cost: Any,
                   target: float) -> List[int]:
    """Round numbers so that their cost is within a target.

    Args:
        expected (Sequence[float]): The numbers, 0 or more.
        cost (Callable): The cost of a list of integers; grows with each.
        target (float): The largest cost, at least that of zeros.

    Returns:
        list[int]: The rounded numbers, reduced one by one, each time that
        which is furthest above its expected value.
    """
    found = [round(number) for number in expected]
    while cost(found) > target:
        above = [
            number - wanted if number else float('-inf')
            for number, wanted in zip(found, expected)
        ]
        found[above.index(max(above))] -= 1
    return found
