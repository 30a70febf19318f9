# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What several methods need of a stage, a chain entry or given weights."""
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.chain.chain import Network
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import static_network
from mmdgkd.utils.config import refuse_unknown, type_of

Weights = Optional[Dict[str, torch.Tensor]]


def ensure_hook(stage: Config, kind: str, before: str = '') -> None:
    """Add a hook of this project to a stage, unless it is there already.

    The order of the hooks is part of what a stage is resumed by, so that it
    must not hang on the order in which methods are registered.

    Args:
        stage (Config): The config of the stage; it is changed.
        kind (str): The type of the hook.
        before (str): The type of a hook that comes after it, if it is there.
            Defaults to ``''``: it comes last.
    """
    hooks = list(stage.get('custom_hooks') or ())
    kinds = [type_of(hook) for hook in hooks]
    if kind not in kinds:
        place = kinds.index(before) if before in kinds else len(hooks)
        hooks.insert(place, dict(type=f'mmrazor.{kind}'))
        stage.custom_hooks = hooks


def refuse_fixed_graphs(stage: Config, why: str) -> None:
    """Refuse options that need the same network in each step.

    Args:
        stage (Config): The config of a stage.
        why (str): What changes in each step, with its config key.

    Raises:
        ConfigError: If such an option is on.
    """
    for hook in stage.get('custom_hooks') or ():
        if type_of(hook) == 'FastNetworkHook' and hook.get('compile'):
            raise ConfigError('custom_hooks: FastNetworkHook.compile: '
                              f'{why}; leave it out')
    for key in ('compile', 'activation_checkpointing'):
        if stage.get(key):
            raise ConfigError(f'{key}: {why}; leave it out')


def refuse_sync_bn(stage: Config, key: str, norms: str) -> None:
    """Refuse ``sync_bn``, which replaces normalization of a method's own.

    Args:
        stage (Config): The config of a stage.
        key (str): The config key of its model.
        norms (str): Which normalization would be lost.

    Raises:
        ConfigError: If it is on.
    """
    if stage.get('sync_bn'):
        raise ConfigError(f'sync_bn: {key}: would replace the batch '
                          f'normalization {norms}; leave it out')


def refuse_deliveries(stage: Config, why: str) -> None:
    """Refuse deliveries where a network runs several times in a step.

    Args:
        stage (Config): The config of a stage.
        why (str): What runs several times, with its config key.

    Raises:
        ConfigError: If its distiller has some.
    """
    distiller = stage.model.get('distiller') or {}
    if distiller.get('distill_deliveries'):
        raise ConfigError(f'model.distiller.distill_deliveries: {why}, and a '
                          'delivery is for one run; leave it out')


def refuse_replaced(network: Network, model: nn.Module, kind: type,
                    why: str) -> None:
    """Refuse an algorithm of MMRazor that a method replaces.

    Args:
        network (Network): The network.
        model (nn.Module): Its model.
        kind (type): The class of MMRazor.
        why (str): What it cannot do, and what to use.

    Raises:
        ConfigError: If the model contains it.
    """
    if any(isinstance(module, kind) for module in model.modules()):
        raise ConfigError(f'chain.networks.{network.name}.model.type: '
                          f'{type(model).__name__} {why}')


def check_search_end(stage: Config, here: str, key: str, last: int) -> None:
    """Check that a subnet is chosen before the end and before validation.

    Args:
        stage (Config): The config of a stage.
        here (str): The config key of its network.
        key (str): The config key of the length of the search.
        last (int): Its last epoch.

    Raises:
        ConfigError: If the training or the first validation is earlier.
    """
    train_cfg: Mapping[str, Any] = stage.get('train_cfg') or {}
    epochs = train_cfg.get('max_epochs')
    if epochs is None or last >= epochs:
        raise ConfigError(f'{key}: {last} should be before the end of the '
                          f'training, which has {epochs or "no"} epochs')
    begin = train_cfg.get('val_begin', 1)
    if stage.get('val_dataloader') and begin <= last:
        raise ConfigError(
            f'{here}.stage.train_cfg.val_begin: {begin} should be after the '
            f'search, {last + 1} or more: before it there is no subnet whose '
            'accuracy could count')


def parent_of(name: str, entry: Mapping[str, Any], keys: Sequence[str],
              before: Mapping[str, Network]) -> Network:
    """The network in whose stage another one is trained.

    Args:
        name (str): The network inside the parent.
        entry (Mapping): Its entry of ``chain.networks``.
        keys (Sequence[str]): The keys of such an entry. The value of the first
            is the parent.
        before (Mapping[str, Network]): The networks before it.

    Raises:
        ConfigError: For another key, or if there is no such network.
    """
    here = f'chain.networks.{name}'
    refuse_unknown(entry, keys, here)
    parent = entry[keys[0]]
    if parent not in before:
        raise ConfigError(f'{here}.{keys[0]}: {parent!r} is no network before '
                          f'"{name}"; possible: '
                          f'{", ".join(before) or "none, it is the first"}')
    return before[parent]


def loaded_network(network: Network, model: nn.Module,
                   weights: Dict[str, torch.Tensor]) -> Tuple[nn.Module, ...]:
    """What is left of a pruned or searched network of given weights.

    Args:
        network (Network): The network.
        model (nn.Module): Its algorithm; it is changed.
        weights (dict[str, torch.Tensor]): Of its file.

    Returns:
        tuple[nn.Module]: The plain network.

    Raises:
        ConfigError: If it is a supernet in which no subnet was chosen.
    """
    model.load_state_dict(weights)
    if not getattr(model, 'chosen', True):
        raise ConfigError(
            f'chain.networks.{network.name}.ckpt_path: {network.ckpt_path!r} '
            'is of a supernet in which no subnet was chosen')
    return (static_network(model), )
