# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks by their names: what they cost, and which lie between two."""
import contextlib
import dataclasses
import itertools
import logging
import math
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import torch
from mmengine.registry import DefaultScope
from torch import nn

from mmdgkd.chain.entries import read_entry
from mmdgkd.chain.network import build_network, network_facts
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.class_numbers import set_classes
from .families import accuracy_of, arch_of, family_of

_USUAL = 224  # pixels that most models of ImageNet are made for
# How many of the nearest in the tables of a zoo are built and counted.
_NEAREST = 3


@dataclass(frozen=True)
class Model:
    """A model by its name, on images of a size.

    Attributes:
        name (str): As in ``chain.networks.X.model``.
        macs (int): Multiply-accumulate operations of an image.
        params (int): Number of parameters.
        accuracy (float, optional): Top 1 in the table of MMPretrain.
        of (str): The data set of that.
        other (dict): What it needs beside its name to run on that size.
        is_transformer (bool): Whether it has LayerNorm and no BatchNorm.
        augments (str): How its recipe mixes the images of a batch.
        has_weights (bool): Whether its zoo has weights.
    """

    name: str
    macs: int
    params: int
    accuracy: Optional[float] = None
    of: str = ''
    other: Optional[Dict[str, Any]] = None
    is_transformer: bool = False
    augments: str = ''
    has_weights: bool = False

    @property
    def key(self) -> str:
        """Its name in ``chain.networks``."""
        word = re.sub(r'\W+', '_', arch_of(self.name)).strip('_')
        return word if word[:1].isalpha() else f'net_{word}'


class Zoo:
    """Counts models of MMPretrain, timm and here on images of one size.

    Args:
        size (int): Edge of the images in pixels.
        classes (int): Number of classes.
    """

    def __init__(self, size: int, classes: int) -> None:
        self.size, self.classes = size, classes
        self._known: Dict[str, Model] = {}

    @property
    def counted(self) -> List[Model]:
        """The models that have been counted."""
        return list(self._known.values())

    def model(self, name: str, flag: str) -> Model:
        """Build and count a model.

        Args:
            name (str): Its name.
            flag (str): Where it was typed, for messages.

        Raises:
            ConfigError: If the name is unknown, or the model does not run on
                images of this size.
        """
        if name not in self._known:
            self._known[name] = self._count(name, flag)
        return self._known[name]

    def between(self, teacher: Model, student: Model,
                count: int) -> List[Model]:
        """Propose TAs out of the families of teacher and student.

        Each has about the same ratio of MACs to the one before it, and at
        least a tenth of a difference.

        Args:
            teacher (Model): The teacher.
            student (Model): The student.
            count (int): How many.

        Returns:
            list[Model]: The largest first; perhaps fewer.
        """
        if count < 1 or teacher.macs <= student.macs:
            return []
        ratio = teacher.macs / student.macs
        targets = [
            teacher.macs / ratio**(i / (count + 1))
            for i in range(1, count + 1)
        ]
        between = sorted(
            (model for model in self._candidates(teacher, student, targets)
             if _is_step(teacher, model) and _is_step(model, student)),
            key=lambda model: -model.macs)
        chains = [
            chain for chain in itertools.combinations(between, count)
            if all(map(_is_step, chain, chain[1:]))
        ]
        if not chains:
            return self.between(teacher, student, count - 1)
        return [*min(chains, key=lambda chain: _distance(chain, targets))]

    def _candidates(self, teacher: Model, student: Model,
                    targets: List[float]) -> List[Model]:
        """Those between the two: counted, but only the nearest by tables."""
        found: Dict[str, Model] = {}
        for reference in (teacher, student):
            listed = dict(family_of(reference.name))
            flops = listed.get(reference.name)
            if flops:
                # The tables are of another size of images.
                scale = reference.macs / flops
                near = {
                    name
                    for target in targets
                    for name in sorted(
                        listed,
                        key=lambda name: abs(
                            math.log((listed[name] or 1) * scale / target)))
                    [:_NEAREST]
                }
                listed = {name: listed[name] for name in sorted(near)}
            for name in listed:
                try:
                    found[name] = self.model(name, '--tas')
                except ConfigError:
                    # Of another size of images, or no classifier.
                    continue
        return list(found.values())

    def _count(self, name: str, flag: str) -> Model:
        failure: Optional[ConfigError] = None
        for other in ({}, *_of_size(name, self.size)):
            try:
                return self._counted(name, other)
            except ConfigError as error:
                failure = failure or error
        text = str(failure)
        for start in ('chain.networks.x.model.name: ',
                      'chain.networks.x.model: '):
            text = text.removeprefix(start)
        if self.size < _USUAL and 'does not run' in text:
            text += f'; --size {_USUAL} may fit it'
        about = '' if repr(name) in text else f'{name!r}: '
        raise ConfigError(f'{flag}: {about}{text}') from None

    def _counted(self, name: str, other: Mapping) -> Model:
        entry = dict(model=dict(name=name, **other))
        network = read_entry('x', entry)
        network = dataclasses.replace(
            network, model=set_classes(network.model, self.classes))
        is_timms = name.startswith('timm:')
        with torch.device('meta' if is_timms else 'cpu'), _without_info():
            model = build_network(network, 'mmpretrain')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            facts = network_facts(
                model.to('meta').eval(), 'x', (3, self.size, self.size))
        kinds = {type(module) for module in model.modules()}
        batch = any(issubclass(k, nn.modules.batchnorm._BatchNorm)
                    for k in kinds)  # yapf: disable
        layer = any(issubclass(k, nn.LayerNorm) for k in kinds)
        accuracy, of = accuracy_of(name)
        train_cfg = network.model.get('train_cfg') or {}
        return Model(name, facts.macs, facts.params, accuracy, of,
                     dict(other) or None, layer and not batch,
                     str(train_cfg.get('augments') or ''),
                     bool(network.published and network.published.weights))


def _is_step(larger: Model, smaller: Model) -> bool:
    return larger.macs > 1.1 * smaller.macs


def _distance(chain: Sequence[Model], targets: Sequence[float]) -> float:
    """How far networks are from the MACs that they should have."""
    return sum(
        math.log(model.macs / target)**2
        for model, target in zip(chain, targets))


@contextlib.contextmanager
def _without_info() -> Iterator[None]:
    """Without what models log while they are built."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.INFO))
    try:
        yield
    finally:
        logging.disable(level)


def _of_size(name: str, size: int) -> List[Dict[str, Any]]:
    """What models need that are made for one size of images, as ViTs are."""
    if name.startswith('timm:'):
        return [dict(img_size=size)]
    backbone = dict(img_size=size)
    # Swin's windows are larger than small maps.
    padded = dict(backbone, pad_small_map=True)
    return [dict(backbone=backbone), dict(backbone=padded)]


def unique_keys(models: List[Model]) -> List[str]:
    """Names for ``chain.networks``: each once.

    Args:
        models (list[Model]): The chain, the largest first.
    """
    keys: List[str] = []
    for model in models:
        key, number = model.key, 2
        while key in keys:
            key, number = f'{model.key}_{number}', number + 1
        keys.append(key)
    return keys
