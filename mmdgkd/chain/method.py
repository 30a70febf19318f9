# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The protocol of a method, and the methods that are registered.

A method is a way to train or compress a network: pruning, quantization, mutual
learning, a loss that needs a hook. The chain names none of them: it loops over
:func:`methods_of` and :data:`METHODS`. ``docs/new_method.md`` has an example.
"""
import contextlib
from dataclasses import dataclass
from typing import (TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple,
                    Type, Union)

import torch
from mmengine.config import Config
from mmrazor.registry import MODELS
from torch import nn

if TYPE_CHECKING:
    from .chain import Chain, Network
    from .preflight.data_check import DataFacts


@dataclass(frozen=True)
class CheckedStage:
    """A stage before its training, the argument of :meth:`Method.check`.

    Attributes:
        network (Network): The network that it trains.
        config (Config): Its config.
        models (dict[str, nn.Module]): The models of the chain as they were
            built, on the meta device.
        data (DataFacts): What is known of its data.
    """

    network: 'Network'
    config: Config
    models: Mapping[str, nn.Module]
    data: 'DataFacts'

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.network.name

    @property
    def key(self) -> str:
        """The config key of the network."""
        return f'chain.networks.{self.network.name}'

    @property
    def model(self) -> nn.Module:
        """The model of the network as it was built."""
        return self.models[self.network.name]


class Method:
    """All that a chain knows of a method. The defaults do nothing.

    Attributes:
        algorithms (tuple[type]): The classes around a network that belong to
            it, those of MMRazor included. The chain accepts them as the
            ``model`` of a network, and trains them by one ``loss`` a step.
        decides_size (bool): Whether parameters and operations are known only
            after the training. They are then counted again.
        prunes (bool): Whether the network is trained with ever fewer channels.
            It is then rehearsed with the fewest, too, in which
            :meth:`stand_ins` leaves it.
    """

    algorithms: Tuple[Type[nn.Module], ...] = ()
    decides_size = False
    prunes = False

    def more_entries(self, name: str,
                     entry: Mapping[str, Any]) -> Dict[str, Mapping]:
        """Read a key that has one entry of ``chain.networks`` be several.

        Args:
            name (str): Name of the network.
            entry (Mapping): As in the config.

        Returns:
            dict[str, Mapping]: What stands in its place, in order. By default
            itself alone.

        Raises:
            ConfigError: For a wrong value of that key.
        """
        return {name: entry}

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, 'Network']) -> Optional['Network']:
        """Read an entry of ``chain.networks``.

        Args:
            name (str): Name of the network.
            entry (Mapping): As in the config.
            before (Mapping[str, Network]): The networks before it.

        Returns:
            Network, optional: None to have the chain read it, as it does for
            ``model``, ``ckpt_path``, ``init_from`` and ``stage``.

        Raises:
            ConfigError: For a mistake in an entry of this method.
        """
        return None

    def prepare_stage(self, stage: Config, chain: 'Chain', name: str) -> None:
        """Add what a stage of this method needs: hooks, loops, optimizers.

        Called for all stages, since a method may be a loss or a hook.

        Args:
            stage (Config): The config of the stage, with its ``model``; it is
                changed.
            chain (Chain): The chain.
            name (str): The network that is trained.

        Raises:
            ConfigError: If something in it does not work with this method.
        """

    def stand_ins(
        self,
        network: 'Network',
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """Plain networks in place of those that a training may leave.

        Before any training the stage is built with each, such as the smallest
        and the largest subnet. Where several networks are trained in a step,
        these are all of them.

        Args:
            network (Network): The network.
            model (nn.Module): Its model; it may be changed.
            weights (dict, optional): The state dict of its ``ckpt_path``.
                Defaults to None.

        Returns:
            tuple[nn.Module]: The largest last; with weights only the network
            that they belong to. Empty: the model itself is used.

        Raises:
            ConfigError: If nothing would be left, or the model is of a class
                that this method replaces.
        """
        return ()

    def check(self, stage: CheckedStage) -> None:
        """Refuse mistakes that would cause no error in the rehearsal.

        Called for all stages that are trained.

        Args:
            stage (CheckedStage): The stage.

        Raises:
            ConfigError: For a mistake.
        """

    def extract(self, model: nn.Module,
                network: 'Network') -> Dict[str, torch.Tensor]:
        """The weights of a network that was trained within another.

        Args:
            model (nn.Module): The model of the other, trained.
            network (Network): The network; its :attr:`Network.part` tells
                which part of the other it is.

        Returns:
            dict[str, torch.Tensor]: Its state dict.
        """
        raise NotImplementedError

    def part_file(self, network: 'Network', stage: Config) -> Optional[str]:
        """The file from which a network within another is taken as a whole.

        The stage of the other writes it during its training.

        Args:
            network (Network): The network.
            stage (Config): The config of the stage of the other.

        Returns:
            str, optional: None: it is taken out of the other's own file, by
            :meth:`extract`.
        """
        return None

    def export_extra(self, model: nn.Module, images: torch.Tensor, path: str,
                     save_as: str) -> Optional[Any]:
        """Write something beside the exported program of a network.

        Args:
            model (nn.Module): The trained model.
            images (torch.Tensor): Some images as the data gives them, shape
                (N, C, H, W).
            path (str): The file of the program, ``<stem>.pt2``. What is
                written begins with the same stem.
            save_as (str): The ending of files of weights, ``chain.save_as``.

        Returns:
            Any: What was written; its ``str`` is printed. None if nothing was.

        Raises:
            ConfigError: If it would give other logits than the network.
        """
        return None

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """The objective of a network beside labels and teachers.

        Args:
            model (Mapping): Its model config.

        Returns:
            tuple[str, str]: For the report: the name of the method, and the
            source of the outputs that the network learns from; None without.
        """
        return None


METHODS: Dict[str, Method] = {}


def register_method(cls: Type[Method]) -> Type[Method]:
    """Register a method: a decorator of a subclass of :class:`Method`.

    A package outside of this one can use it, too; importing the package is
    enough then, by ``custom_imports``.

    Args:
        cls (type): Its class.

    Raises:
        KeyError: If there is another method of that name.
    """
    known = type(METHODS.get(cls.__name__, cls)).__module__
    if cls.__name__ in METHODS and known != cls.__module__:
        raise KeyError(f'{cls.__name__} is the name of a method of {known}; '
                       'choose another')
    METHODS[cls.__name__] = cls()
    return cls


def methods_of(model: Union[nn.Module, Mapping[str, Any]]) -> List[Method]:
    """The methods that the algorithms around a network belong to.

    Args:
        model (nn.Module | Mapping): A model, or the config of one.

    Returns:
        list[Method]: That of the outermost algorithm first.
    """
    kinds = []
    while model is not None:
        if isinstance(model, Mapping):
            kind = model.get('type')
            if isinstance(kind, str):
                # Building it names a mistake.
                with contextlib.suppress(Exception):
                    kind = MODELS.get(kind)
            kinds.append(kind)
            model = model.get('architecture')
        else:
            kinds.append(type(model))
            model = getattr(model, 'architecture', None)
    # By class: one may be derived from a method's.
    return list(
        dict.fromkeys(
            method for kind in kinds if isinstance(kind, type)
            for method in METHODS.values()
            if issubclass(kind, method.algorithms)))
