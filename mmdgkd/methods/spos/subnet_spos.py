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
    """MMRazor's SPOS with the subnet that was chosen as a part of its state.

    Single Path One-Shot (Guo et al., ECCV 2020, arXiv 1904.00420). Until a
    subnet is chosen, by a :class:`SubnetSearchHook`, each training step trains
    a path that is drawn at random, each candidate of a block with the same
    probability; from then on that of the subnet alone is trained. So supernet,
    search and subnet are one training, that can be resumed anywhere, and its
    file of weights needs no other beside it.

    Without a chosen subnet it predicts by the first candidates. With several
    processes each draws a path of its own.

    Args:
        architecture (dict | BaseModel): A supernet whose choices are
            ``OneShotMutableOP``, such as one with a
            :class:`SearchableResNet6n2`.
        mutator (dict | NasMutator, optional): What draws.
            Defaults to None: a ``NasMutator``.
        **kwargs: As for ``SPOS``, but for ``norm_training``.

    Attributes:
        subnet (torch.Tensor): For each choice the number of its candidate
            among their sorted names, int64 of shape (choices, ); -1 where none
            is chosen yet.

    Raises:
        ConfigError: If there is nothing to choose, or something else than
            modules, or for ``norm_training``.
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
        """The candidates of each choice, by the names of MMRazor."""
        return {
            name: group[0].choices
            for name, group in self.mutator.search_groups.items()
        }

    @property
    def chosen(self) -> Optional[Dict[str, str]]:
        """The candidate of each choice; None before they are chosen."""
        return self._chosen

    def choose(self, choices: Mapping[str, str]) -> None:
        """Take a subnet, for good.

        Args:
            choices (Mapping[str, str]): The candidate of each choice.

        Raises:
            ValueError: If one has no such candidate.
        """
        self.subnet.copy_(self.numbers(choices))
        self._read_subnet()

    def numbers(self, choices: Mapping[str, str]) -> torch.Tensor:
        """The buffer ``subnet`` of a subnet, int64 of shape (choices, ).

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
        """The losses of the subnet, or of a path drawn for this step.

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
        """As every module, and unlike MMRazor's, it returns itself.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        return self

    def _rest(self) -> None:
        """Out of a training step it is always the same network."""
        self.mutator.set_choices(self._chosen or {
            name: names[0]
            for name, names in self.candidates.items()
        })

    def _read_subnet(self) -> None:
        """Do what the buffer says."""
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
        if not self.subnet.is_meta:
            self._read_subnet()
