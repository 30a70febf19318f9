# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Looking at the networks, files and data of a chain before any training."""
import copy
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models.algorithms import BaseAlgorithm
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import METHODS, CheckedStage
from mmdgkd.chain.network import NetworkFacts, build_on_cpu, network_facts
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.networks import network_cfg, network_of
from mmdgkd.models.utils.weights import check_weights, network_weights
from .pretrained import check_init_cfg, refuse_load_from
from .stage_check import DataFacts, check_cacheable, check_data, check_stage
from .trial_forward import check_losses


def inspect_chain(cfg: Config, chain: Chain) -> Dict[str, NetworkFacts]:
    """Check all that can be checked before any training.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.

    Returns:
        dict[str, NetworkFacts]: By network.

    Raises:
        ConfigError: If a network cannot be built or run, a given file does not
            fit, classes differ, the data is missing, a stage's algorithm,
            optimizer, schedule or data cannot be built, or its losses would
            train nothing, or not all of the network.
    """
    refuse_load_from(cfg, chain)
    scope = cfg.get('default_scope', 'mmpretrain')
    models, plain, trained = {}, {}, {}
    for network in chain.networks:
        name, weights = network.name, None
        model = build_on_cpu(network, scope)
        if network.ckpt_path:
            key = f'chain.networks.{name}.ckpt_path'
            weights = network_weights(
                read_checkpoint(network.ckpt_path, key), network.ckpt_path,
                key, model)
            check_weights(model, weights, network.ckpt_path, key)
        else:
            check_init_cfg(network, model)
        plain[name] = [
            stand_in.to('meta').eval() for stand_in in (next(
                filter(None, (method.stand_ins(network, model, weights)
                              for method in METHODS.values())), (model, )))
        ]
        check_algorithm(name, model)
        trained[name] = plain[name]
        if network.trainer and not network.ckpt_path:
            trained[name] = [
                build_on_cpu(replace(network, model=network.trainer), scope)
            ]
            check_algorithm(name, trained[name][0])
            trained[name][0].to('meta').eval()
        models[name] = model.to('meta').eval()
        _check_init_from(network, models)
    stages = {
        name: stage_config(cfg, chain, chain.stage_of(name), {}, '')
        for name in chain.names
    }
    _check_same_inputs(chain, stages)
    data: Dict[str, DataFacts] = {}
    facts = {}
    said: Dict[Tuple[str, str], List] = {}
    # Where one is pruned, what is left of it takes its place; where the
    # training decides what that is, the largest stands for it.
    shapes = {name: stand_ins[-1] for name, stand_ins in plain.items()}
    with DefaultScope.overwrite_default_scope(scope):
        for name in chain.names:
            algorithms = []
            if not (chain[name].ckpt_path or chain[name].part_of):
                # As its training begins, and as it ends.
                algorithms = [
                    check_stage(name, stages[name], chain,
                                dict(shapes, **{name: network}))
                    for network in trained[name]
                ]
            seen = _data_of(chain, stages, name, data)
            facts[name] = replace(
                network_facts(shapes[name], name, seen.shape),
                samples=seen.samples,
                views=seen.views,
                shape=seen.shape)
            if len(plain[name]) > 1 and hasattr(models[name], 'over_networks'):
                facts[name] = _with_all(facts[name], name, plain[name])
            _check_classes(chain[name], facts[name].classes, seen.classes)
            if algorithms:
                stage = CheckedStage(chain[name], stages[name], algorithms,
                                     models, seen)
                for method in METHODS.values():
                    method.check(stage)
            for algorithm in algorithms:
                if chain.logit_store is not None and chain.teachers[name]:
                    check_cacheable(stages[name], algorithm, seen.shape)
                check_losses(name, stages[name], algorithm, seen, said)
    for name, teachers in chain.teachers.items():
        for teacher in teachers:
            if facts[teacher].classes != facts[name].classes:
                raise ConfigError(
                    f'chain.networks.{teacher}.model: has '
                    f'{facts[teacher].classes} classes, "{name}", which it '
                    f'teaches, has {facts[name].classes}')
    return facts


def _data_of(chain: Chain, stages: Dict[str, Config], name: str,
             known: Dict[str, DataFacts]) -> DataFacts:
    """The data of a network; of one that is given not its training data.

    Whoever has only its file may have no such data.
    """
    if not chain[name].ckpt_path:
        return check_data(stages[name], known)
    given = Config(copy.deepcopy(stages[name].to_dict()))
    given.train_dataloader = None
    seen = check_data(given, known)
    if seen.shape is None:
        # Nothing is validated: then what the networks see that are trained.
        for network in chain.networks:
            if not (network.ckpt_path or network.part_of):
                return check_data(stages[network.name], known)
    return seen


def _with_all(facts: NetworkFacts, name: str,
              networks: List[nn.Module]) -> NetworkFacts:
    if facts.shape is None:
        return facts
    found = [network_facts(each, name, facts.shape) for each in networks]
    classes = [each.classes for each in found]
    if len(set(classes)) > 1:
        raise ConfigError(f'chain.networks.{name}.model.peers: have '
                          f'{classes[:-1]} classes, "{name}" has {classes[-1]}'
                          '; all need the same')
    return replace(facts, step_macs=sum(each.macs for each in found))


def _check_init_from(network: Network, models: Dict[str, nn.Module]) -> None:
    """It begins with the weights of a network of its own shapes."""
    source = network.init_from
    if source is None:
        return
    key = f'chain.networks.{network.name}.init_from'
    if isinstance(models[source], BaseAlgorithm):
        raise ConfigError(
            f'{key}: "{source}" is pruned, searched, quantized, slimmable or '
            'one of several itself, and '
            'what that has made of it is no part of its weights; begin from a '
            'network that is not')
    # Nobody has trained that one yet, but its shapes are known.
    check_weights(
        network_of(models[network.name]), models[source].state_dict(), source,
        key)


def _check_classes(network: Network, classes: Optional[int],
                   in_data: Optional[int]) -> None:
    """A network has as many classes as its data, where both say it."""
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
                      f' set {key} to {in_data}, or say in the '
                      "dataset's metainfo=dict(classes=[...]) which there are")


def _check_same_inputs(chain: Chain, stages: Dict[str, Config]) -> None:
    """A teacher sees what the data preprocessor of its student makes."""

    def preprocessor(name: str) -> Dict:
        model = network_cfg(stages[name].model)
        return dict(model.get('data_preprocessor') or {})

    for name, teachers in chain.teachers.items():
        mine = preprocessor(name)
        for teacher in teachers:
            theirs = preprocessor(teacher)
            for key in ('mean', 'std', 'to_rgb'):
                if mine.get(key) != theirs.get(key):
                    raise ConfigError(
                        f'chain.networks.{teacher}: its data_preprocessor.{key} '
                        f'is {theirs.get(key)}, but "{name}", whose inputs it '
                        f'gets as its teacher, has {mine.get(key)}; both must '
                        'be normalized alike')


def check_algorithm(name: str, model: nn.Module) -> None:
    """See whether a network of a chain is trained by what teachers reach.

    Args:
        name (str): The network.
        model (nn.Module): Its model.

    Raises:
        ConfigError: If it is another algorithm that takes something away from
            a network, of which nothing would be chosen, or that has a
            ``train_step`` of its own, which would not run.
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
