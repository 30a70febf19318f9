# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Looking at the networks, files and data of a chain before any training."""
import copy
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmrazor.models.algorithms import BaseAlgorithm
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdgkd.errors import ConfigError
from mmdgkd.methods.mutual.mutual_networks import MutualNetworks
from mmdgkd.methods.slimmable.joint_slimmable import JointSlimmable
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.networks import (network_cfg, network_of, static_network)
from mmdgkd.models.utils.weights import (check_weights, load_weights, network_weights)
from mmdgkd.utils.config_types import type_of
from mmdgkd.methods.algorithm_check import check_algorithm
from mmdgkd.chain.chain import (Chain, Network)
from mmdgkd.methods.crd.check import check_sample_classes
from mmdgkd.methods.dmcp.check import (check_dmcp, dmcp_networks)
from mmdgkd.methods.group_fisher.check import (check_fisher, fisher_networks)
from .pretrained import (check_init_cfg, refuse_load_from)
from mmdgkd.methods.mutual.check import (check_mutual, mutual_networks)
from mmdgkd.methods.pruning.check import (check_schedule, pruned_networks)
from mmdgkd.methods.qat.check import (check_quantized, float_networks)
from mmdgkd.methods.spos.check import (check_search, searched_networks)
from mmdgkd.methods.slimmable.check import (check_slimmable, slimmable_networks)
from .stage_check import (DataFacts, MISTAKES, check_data, check_remembering, check_stage, reason_of)
from mmdgkd.chain.stage_config import stage_config
from .trial_forward import check_losses


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network without training it.

    Attributes:
        params (int): Number of parameters.
        macs (int, optional): Multiply-accumulate operations per image of the
            convolutions and matrix products; None without an input shape.
        classes (int, optional): Length of the logits; None likewise.
        samples (int, optional): Length of its training data.
        views (int, optional): How many views there are of a sample in its
            training; None: one an epoch.
        step_macs (int, optional): Those of all that is trained in a step,
            where that is more than the network itself: of all widths, or of
            all that are trained together.
        shape (tuple[int], optional): Shape (C, H, W) of an image.
    """

    params: int
    macs: Optional[int] = None
    classes: Optional[int] = None
    samples: Optional[int] = None
    views: Optional[int] = None
    shape: Optional[Tuple[int, ...]] = None
    step_macs: Optional[int] = None


def build_network(network: Network,
                  scope: str,
                  device: str = 'meta') -> nn.Module:
    """Build a network, by default on the meta device: it costs no memory.

    Args:
        network (Network): The network.
        scope (str): The default scope of the config.
        device (str): Where. Defaults to ``'meta'``.

    Raises:
        ConfigError: If its config builds no model.
    """
    # MMPretrain's backbones compute with real numbers as they are built, so
    # they cannot be built on the meta device in the first place.
    return _build(network, scope).to(device).eval()


def _build(network: Network, scope: str) -> nn.Module:
    try:
        with DefaultScope.overwrite_default_scope(scope):
            return MODELS.build(copy.deepcopy(dict(network.model)))
    except MISTAKES as error:
        raise ConfigError(f'chain.networks.{network.name}.model: cannot be '
                          f'built ({reason_of(error)})') from None


def network_facts(model: nn.Module, name: str,
                  input_shape: Optional[Tuple[int, ...]]) -> NetworkFacts:
    """Count parameters, operations and classes.

    Args:
        model (nn.Module): The network on the meta device.
        name (str): Its name, for the message.
        input_shape (tuple[int], optional): Shape of an image, (C, H, W).

    Raises:
        ConfigError: If the network does not run on such an image.
    """
    params = sum(param.numel() for param in model.parameters())
    if input_shape is None:
        return NetworkFacts(params)
    images = torch.empty(1, *input_shape, device='meta')
    try:
        macs, logits = count_macs(model, images, mode='tensor')
    except MISTAKES as error:
        raise ConfigError(
            f'chain.networks.{name}.model: does not run on an image of shape '
            f'{tuple(input_shape)} ({reason_of(error)})') from None
    classes = logits.shape[1] if isinstance(logits, torch.Tensor) else None
    return NetworkFacts(params, macs, classes)


def count_macs(model: nn.Module, *args: Any, **kwargs: Any) -> Tuple[int, Any]:
    """Run a model without gradients and count what it computes.

    Args:
        model (nn.Module): The model.
        *args (Any): What it is called with.
        **kwargs (Any): Likewise.

    Returns:
        tuple[int, Any]: The multiply-accumulate operations of convolutions
        and matrix products, and what the model gives.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        outputs = model(*args, **kwargs)
    return counter.get_total_flops() // 2, outputs


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
        model = _build(network, scope)
        if network.ckpt_path:
            key = f'chain.networks.{name}.ckpt_path'
            weights = network_weights(
                read_checkpoint(network.ckpt_path, key), network.ckpt_path,
                key, model)
            check_weights(model, weights, network.ckpt_path, key)
        else:
            check_init_cfg(network, model)
        plain[name] = [
            stand_in.to('meta').eval() for stand_in in (
                slimmable_networks(model, weights) or mutual_networks(
                    model, weights) or pruned_networks(network, model, weights)
                or fisher_networks(network, model, weights)
                or dmcp_networks(network, model, weights)
                or searched_networks(network, model, weights)
                or float_networks(model) or (model, ))
        ]
        check_algorithm(name, model)
        trained[name] = plain[name]
        if network.trainer and not network.ckpt_path:
            trained[name] = [
                _build(replace(network, model=network.trainer), scope)
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
            if not (chain[name].ckpt_path or chain[name].trained_with):
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
            if len(plain[name]) > 1 and isinstance(
                    models[name], (JointSlimmable, MutualNetworks)):
                facts[name] = _with_all(facts[name], name, plain[name])
            _check_classes(chain[name], facts[name].classes, seen.classes)
            if algorithms:
                check_schedule(chain[name], models[name], stages[name],
                               seen.samples)
                check_fisher(chain[name], models[name], stages[name],
                             seen.samples)
                check_dmcp(chain[name], models[name], stages[name],
                           seen.samples)
                check_search(chain[name], models[name], stages[name])
                check_slimmable(chain[name], models[name], stages[name])
                check_mutual(chain[name], models[name], algorithms)
                _check_trainer(chain[name], stages[name])
            for algorithm in algorithms:
                check_quantized(name, stages[name], algorithm, models)
                if chain.logit_store is not None and chain.guides[name]:
                    check_remembering(stages[name], algorithm, seen.shape)
                check_sample_classes(algorithm, seen.unsaid)
                check_losses(name, stages[name], algorithm, seen, said)
    for name, guides in chain.guides.items():
        for guide in guides:
            if facts[guide].classes != facts[name].classes:
                raise ConfigError(
                    f'chain.networks.{guide}.model: has '
                    f'{facts[guide].classes} classes, "{name}", which it '
                    f'guides, has {facts[name].classes}')
    return facts


def _check_trainer(network: Network, stage: Config) -> None:
    """See whether what a network has for its training alone is trained."""
    if network.trainer and stage.model.get('task_loss_weight') == 0:
        raise ConfigError(
            f'model.task_loss_weight: 0; the heads in chain.networks.'
            f'{network.name}.model are trained by the network\'s own losses; '
            'should be above 0')


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
            if not (network.ckpt_path or network.trained_with):
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


def facts_of_trained(network: Network, facts: NetworkFacts, path: str,
                     scope: str) -> NetworkFacts:
    """What is known of a network after its training.

    Args:
        network (Network): The network.
        facts (NetworkFacts): What was known before it.
        path (str): The file of its weights.
        scope (str): The default scope of the config.

    Returns:
        NetworkFacts: Of what is left, if the training has decided what that
        is; else the same.

    Raises:
        ConfigError: If the file is unreadable or does not fit.
    """
    if type_of(network.model) not in ('SubnetDMCP', 'SubnetSPOS',
                                      'TargetGroupFisher'):
        return facts
    model = _build(network, scope)
    load_weights(model, path, f'chain.networks.{network.name}')
    if not getattr(model, 'chosen', True):
        raise ConfigError(f'chain.networks.{network.name}: {path!r} is of a '
                          'supernet in which no subnet was chosen')
    subnet = static_network(model).to('meta')
    found = network_facts(subnet, network.name, facts.shape)
    return replace(facts, params=found.params, macs=found.macs)


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
    """A guide sees what the data preprocessor of its student makes."""

    def preprocessor(name: str) -> Dict:
        model = network_cfg(stages[name].model)
        return dict(model.get('data_preprocessor') or {})

    for name, guides in chain.guides.items():
        mine = preprocessor(name)
        for guide in guides:
            theirs = preprocessor(guide)
            for key in ('mean', 'std', 'to_rgb'):
                if mine.get(key) != theirs.get(key):
                    raise ConfigError(
                        f'chain.networks.{guide}: its data_preprocessor.{key} '
                        f'is {theirs.get(key)}, but "{name}", whose inputs it '
                        f'gets as its guide, has {mine.get(key)}; both must '
                        'be normalized alike')
