# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List, Mapping, Optional

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import SPOS
from mmrazor.models.mutables import OneShotMutableOP
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError


@MODELS.register_module()
class SubnetSPOS(SPOS):
    """MMRazor's SPOS with the chosen subnet in its state dict.

    Single Path One-Shot (Guo et al., ECCV 2020, arXiv 1904.00420). Each step
    trains a path that is drawn uniformly from the candidates of each block,
    until a :class:`SubnetSearchHook` chooses a subnet, which is then trained
    alone. Supernet, search and subnet are one training, which can be resumed
    anywhere, and one file of weights.

    Before the choice it predicts by the first candidates. With several
    processes each draws a path of its own.

    Args:
        architecture (dict | BaseModel): A supernet whose choices are
            ``OneShotMutableOP``, such as one with a
            :class:`SearchableResNet6n2`.
        mutator (dict | NasMutator, optional): Draws the paths.
            Defaults to None: a ``NasMutator``.
        **kwargs: As for ``SPOS``, but for ``norm_training``.

    Attributes:
        subnet (torch.Tensor): For each choice the index of its candidate
            among their sorted names, int64 of shape (choices, ); -1 before
            they are chosen.

    Raises:
        ConfigError: If there are no choices, or others than among modules, or
            for ``norm_training``.
    """

    def __init__(self,
                 architecture: Any,
                 mutator: Any = None,
                 **kwargs: Any) -> None:
        if kwargs.get('norm_training'):
            raise ConfigError('model.norm_training: would leave the chosen '
                              'subnet in training when it predicts; leave it '
                              'out, the search sets it by itself')
        super().__init__(architecture, mutator
                         or dict(type='mmrazor.NasMutator'), **kwargs)
        for name, group in self.mutator.search_groups.items():
            if not isinstance(group[0], OneShotMutableOP):
                raise ConfigError(
                    f'model.architecture: its choice {name!r} is a '
                    f'{type(group[0]).__name__}; SubnetSPOS chooses among '
                    'modules, in OneShotMutableOP')
        if not self.candidates:
            raise ConfigError('model.architecture: has nothing to choose, no '
                              'OneShotMutableOP; use a supernet, such as one '
                              'with SearchableResNet6n2 as its backbone')
        self.register_buffer('subnet', torch.full((len(self.candidates), ),
                                                  -1))
        self._chosen: Optional[Dict[str, str]] = None
        self._rest()

    @property
    def candidates(self) -> Dict[str, List[str]]:
        """The candidates of each choice, by MMRazor's names."""
        return {
            name: group[0].choices
            for name, group in self.mutator.search_groups.items()
        }

    @property
    def chosen(self) -> Optional[Dict[str, str]]:
        """The candidate of each choice; None before they are chosen."""
        return self._chosen

    def choose(self, choices: Mapping[str, str]) -> None:
        """Set the subnet.

        Args:
            choices (Mapping[str, str]): The candidate of each choice.

        Raises:
            ValueError: If one has no such candidate.
        """
        self.subnet.copy_(self.numbers(choices))
        self._read_subnet()

    def numbers(self, choices: Mapping[str, str]) -> torch.Tensor:
        """The value of the buffer ``subnet`` for some choices.

        Args:
            choices (Mapping[str, str]): The candidate of each choice.

        Raises:
            ValueError: If one has no such candidate.
        """
        return torch.tensor([
            sorted(names).index(choices[name])
            for name, names in self.candidates.items()
        ])

    def loss(
        self,
        batch_inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None,
    ) -> Dict[str, torch.Tensor]:
        """The losses of the chosen subnet, or of a path drawn in this step.

        Args:
            batch_inputs (torch.Tensor): A preprocessed batch, shape
                (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.
        """
        if self._chosen is not None:
            return self.architecture(batch_inputs, data_samples, mode='loss')
        try:
            return super().loss(batch_inputs, data_samples)
        finally:
            self._rest()

    def train(self, mode: bool = True) -> 'SubnetSPOS':
        """Set the mode, and return itself, which MMRazor's does not.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        return self

    def _rest(self) -> None:
        """Be the same network outside of training steps."""
        self.mutator.set_choices(self._chosen or {
            name: names[0]
            for name, names in self.candidates.items()
        })

    def _read_subnet(self) -> None:
        """Apply the buffer."""
        numbers = self.subnet.tolist()
        self._chosen = None
        if min(numbers) >= 0:
            self._chosen = {
                name: sorted(names)[number]
                for (name,
                     names), number in zip(self.candidates.items(), numbers)
            }
        self._rest()

    def _load_from_state_dict(self, state_dict: Dict, prefix: str, *args: Any,
                              **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._read_subnet()
