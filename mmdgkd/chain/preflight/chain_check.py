# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checking the networks, files and data of a chain before any training."""
import copy
import logging
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models.algorithms import BaseAlgorithm
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import METHODS, CheckedStage, methods_of
from mmdgkd.chain.network import NetworkFacts, build_network, network_facts
from mmdgkd.chain.split_checks import check_given_split, check_same_images
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.datasets.splits import ImageSet
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import meta_of, read_checkpoint
from mmdgkd.models.utils.class_numbers import pick_classes
from mmdgkd.models.utils.networks import network_of
from mmdgkd.models.utils.weights import (OtherClasses, check_weights,
                                         network_weights)
from mmdgkd.utils.config import type_of
from .data_check import DataFacts, check_data
from .pretrained import check_init_cfg, refuse_load_from


def inspect_chain(cfg: Config, chain: Chain,
                  datasets: Dict[str, Any]) -> Dict[str, NetworkFacts]:
    """Check what a rehearsal would not show, since it causes no error.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        datasets (dict): The data sets that have been built already; it is
            added to.

    Returns:
        dict[str, NetworkFacts]: By network.

    Raises:
        ConfigError: If a network cannot be built or run, a given file does not
            fit, classes differ, the data is missing, or a method refuses its
            stage.
    """
    refuse_load_from(cfg, chain)
    inspection = _Inspection(cfg, chain, datasets)
    scope = cfg.default_scope
    for network in chain.networks:
        inspection.build(network, scope)
    inspection.stages = {
        name: stage_config(cfg, chain, chain.stage_of(name), {}, '')
        for name in chain.names
    }
    with DefaultScope.overwrite_default_scope(scope):
        facts = {name: inspection.check(name) for name in chain.names}
    check_same_images(chain, inspection.images, inspection.metas)
    _check_same_sizes(chain, facts)
    _check_same_classes(chain, facts)
    return facts


class _Inspection:
    """What is built and known of a chain while it is checked.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        datasets (dict): The data sets that have been built.
    """

    def __init__(self, cfg: Config, chain: Chain, datasets: Dict[str,
                                                                 Any]) -> None:
        self.cfg, self.chain, self._datasets = cfg, chain, datasets
        self.models: Dict[str, nn.Module] = {}
        # By network what it may end as: after pruning or a search, a smaller
        # one. Where the training decides, the largest is the last one.
        self.plain: Dict[str, List[nn.Module]] = {}
        self.stages: Dict[str, Config] = {}
        # With a split: the meta of given files, and the images.
        self.metas: Dict[str, Dict] = {}
        self.images: Dict[str, ImageSet] = {}

    def build(self, network: Network, scope: str) -> None:
        """Build a network, and check its weights and its algorithm."""
        name, weights = network.name, None
        model = build_network(network, scope)
        if network.ckpt_path:
            key = f'chain.networks.{name}.ckpt_path'
            weights = _given_weights(network, model, key, scope)
            if self.chain.holdout or self.chain.folds:
                self.metas[name] = meta_of(network.ckpt_path, key)
                check_given_split(self.chain, name, self.metas[name])
        else:
            check_init_cfg(self.chain, network, model)
        # Of all methods, since each refuses what it replaces.
        found = [
            method.stand_ins(network, model, weights) for method in
            dict.fromkeys([*methods_of(model), *METHODS.values()])
        ]
        stand_ins = next(filter(None, found), (model, ))
        self.plain[name] = [each.to('meta').eval() for each in stand_ins]
        check_algorithm(name, model)
        if network.trainer and not network.ckpt_path:
            check_algorithm(
                name,
                build_network(replace(network, model=network.trainer), scope))
        self.models[name] = model.to('meta').eval()
        _check_init_from(network, self.models)

    def check(self, name: str) -> NetworkFacts:
        """Check a network and its stage; the facts of the network."""
        network, data = self.chain[name], self._data_of(name)
        if data.images is not None:
            self.images[name] = data.images
        facts = self._facts(name, data)
        _check_classes(network, facts.classes, data.classes)
        if not (network.ckpt_path or network.part_of):
            _check_layer_depths(self.stages[name], self.models[name])
            stage = CheckedStage(network, self.stages[name], self.models, data)
            for method in METHODS.values():
                method.check(stage)
        return facts

    def _data_of(self, name: str) -> DataFacts:
        """The data of a network. That of a given one is not its training's.

        Who has only its file may not have that data.
        """
        stages, chain = self.stages, self.chain
        if not chain[name].ckpt_path:
            return check_data(stages[name], self._datasets)
        given = Config(copy.deepcopy(stages[name].to_dict()))
        given.train_dataloader = None
        data = check_data(given, self._datasets)
        if data.shape is None:
            # Nothing is validated: then the inputs of those that are trained.
            for network in chain.networks:
                if not (network.ckpt_path or network.part_of):
                    return check_data(stages[network.name], self._datasets)
        return data

    def _facts(self, name: str, data: DataFacts) -> NetworkFacts:
        plain = self.plain[name]
        facts = replace(
            network_facts(plain[-1], name, data.shape),
            samples=data.samples,
            length=data.length,
            views=data.views,
            shape=data.shape)
        several = hasattr(self.models[name], 'over_networks')
        if len(plain) == 1 or not several or facts.shape is None:
            return facts
        found = [network_facts(each, name, facts.shape) for each in plain]
        classes = [each.classes for each in found]
        if len(set(classes)) > 1:
            raise ConfigError(
                f'chain.networks.{name}.model: trains networks of '
                f'{classes[:-1]} classes beside "{name}" of {classes[-1]}; '
                'all need the same')
        return replace(facts, step_macs=sum(each.macs for each in found))


def _given_weights(network: Network, model: nn.Module, key: str,
                   scope: str) -> Dict[str, torch.Tensor]:
    """The weights of a given network, less classes that the data has not."""
    path = network.ckpt_path
    weights = network_weights(
        read_checkpoint(path, key), path, key, model, network.ckpt_key)
    if network.picked:
        with DefaultScope.overwrite_default_scope(scope):
            weights = pick_classes(weights, network.model, network.picked,
                                   path, key)
        print_log(
            f'{key}: {path!r} has {network.picked["of"]} classes, of which '
            f'the {len(network.picked["classes"])} of the data are taken by '
            'name, in their order',
            logger='current',
            level=logging.WARNING)
    try:
        check_weights(model, weights, path, key)
    except OtherClasses as error:
        here = key.removesuffix('.ckpt_path')
        raise ConfigError(
            f'{error}; it is not trained: name the classes of its file by '
            f'{here}.teacher_classes, or train it with a new head, with '
            "init_cfg=dict(type='Pretrained', checkpoint=...) in its model "
            'and no ckpt_path') from None
    return weights


def _check_init_from(network: Network, models: Dict[str, nn.Module]) -> None:
    """Check that ``init_from`` names a network of the same shapes."""
    source = network.init_from
    if source is None:
        return
    key = f'chain.networks.{network.name}.init_from'
    if isinstance(models[source], BaseAlgorithm):
        raise ConfigError(
            f'{key}: "{source}" is trained by '
            f'{type(models[source]).__name__}, and its weights alone do not '
            'tell what is left of it; begin from a plain network')
    # That one is not trained yet, but its shapes are known.
    check_weights(
        network_of(models[network.name]), models[source].state_dict(), source,
        key)


def _check_classes(network: Network, classes: Optional[int],
                   in_data: Optional[int]) -> None:
    """Check the classes of a network and its data, where both are known."""
    if not classes or not in_data or classes == in_data:
        return
    key = here = f'chain.networks.{network.name}.model'
    model = network.model
    while isinstance(model.get('architecture'), Mapping):
        model, key = model['architecture'], f'{key}.architecture'
    head = model.get('head')
    if isinstance(head, Mapping) and 'num_classes' in head:
        key += '.head.num_classes'
    raise ConfigError(f'{here}: has {classes} classes, the data has {in_data};'
                      f' set {key} to {in_data}, or list the classes in the '
                      "dataset's metainfo=dict(classes=[...])")


def _check_layer_depths(stage: Config, model: nn.Module) -> None:
    """Refuse rates by depth for a network that does not tell its depths.

    In the rehearsal MMPretrain's error has no text for some of them.
    """
    constructor = dict(
        type=(stage.get('optim_wrapper') or {}).get('constructor'))
    if type_of(constructor) != 'LearningRateDecayOptimWrapperConstructor':
        return
    network = network_of(model)
    try:
        network.get_layer_depth(next(network.named_parameters())[0])
    except (AttributeError, NotImplementedError):
        kind = type(getattr(network, 'backbone', network)).__name__
        raise ConfigError(
            f'optim_wrapper.constructor: {constructor["type"]} needs the depth'
            f' of each layer, which {kind} does not tell (get_layer_depth) as '
            'vision transformers, Swin and ConvNeXt do; use another '
            f'constructor (stage "{stage.experiment_name}")') from None


def _check_same_sizes(chain: Chain, facts: Mapping[str, NetworkFacts]) -> None:
    """Check that a teacher gets images of the size that it was trained with.

    Most run on others, and are much worse there, without an error.
    """
    for name, teachers in chain.teachers.items():
        for teacher in teachers:
            mine, theirs = facts[name].shape, facts[teacher].shape
            size = (chain[teacher].input or {}).get('size')
            if None in (mine, theirs) or size or mine[1:] == theirs[1:]:
                continue
            raise ConfigError(
                f'chain.networks.{teacher}.input.size: "{teacher}" has images '
                f'of {theirs[1]} x {theirs[2]}, and gets those of "{name}", '
                f'{mine[1]} x {mine[2]}, as its teacher; set input=dict(size='
                f'{list(theirs[1:])}) to have them resized, or '
                f'{list(mine[1:])}')


def _check_same_classes(chain: Chain, facts: Mapping[str,
                                                     NetworkFacts]) -> None:
    for name, teachers in chain.teachers.items():
        for teacher in teachers:
            if facts[teacher].classes != facts[name].classes:
                raise ConfigError(
                    f'chain.networks.{teacher}.model: has '
                    f'{facts[teacher].classes} classes, "{name}", which it '
                    f'teaches, has {facts[name].classes}')


def check_algorithm(name: str, model: nn.Module) -> None:
    """Check that teachers can take part in the training of a network.

    Args:
        name (str): The network.
        model (nn.Module): Its model.

    Raises:
        ConfigError: If it is an algorithm of no registered method that has a
            mutator, of which nothing would be chosen, or a ``train_step`` of
            its own, which would not run.
    """
    known = [kind for method in METHODS.values() for kind in method.algorithms]
    if not isinstance(model, BaseAlgorithm) or isinstance(model, tuple(known)):
        return
    mutates = getattr(model, 'mutator', None) is not None
    if mutates or type(model).train_step is not BaseModel.train_step:
        names = ', '.join(sorted(kind.__name__ for kind in known))
        raise ConfigError(
            f'chain.networks.{name}.model.type: {type(model).__name__} cannot '
            f'train a network of a chain; those that can are {names}')
