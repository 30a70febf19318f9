# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the algorithms that change a network want of its stage."""
import math
from typing import Any, Mapping, Optional

from mmengine.config import Config
from mmengine.dist import get_world_size

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import type_of


def have_hook(stage: Config, kind: str) -> None:
    """Add a hook of this project to a stage, unless it is there already.

    Args:
        stage (Config): The config of the stage; it is changed.
        kind (str): The type of the hook.
    """
    hooks = list(stage.get('custom_hooks') or ())
    if not any(type_of(hook) == kind for hook in hooks):
        stage.custom_hooks = hooks + [dict(type=f'mmrazor.{kind}')]


def refuse_fixed_graphs(stage: Config, why: str) -> None:
    """Refuse what wants the same network in each step.

    Args:
        stage (Config): The config of a stage.
        why (str): What changes there, behind its key.

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


def check_search_end(stage: Config, here: str, key: str, last: int) -> None:
    """See whether a subnet is chosen before the end, and before it is tested.

    Args:
        stage (Config): The config of a stage.
        here (str): The key of its network.
        key (str): What says how long the search is.
        last (int): Its last epoch.

    Raises:
        ConfigError: If it is not.
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


def length_in_iterations(stage: Config,
                         samples: Optional[int]) -> Optional[int]:
    """How long a stage is, or None if that is not known.

    Args:
        stage (Config): Its config.
        samples (int, optional): Length of its training data.
    """
    train_cfg: Mapping[str, Any] = stage.get('train_cfg') or {}
    if 'max_epochs' not in train_cfg and 'max_iters' in train_cfg:
        return train_cfg['max_iters']
    batch = (stage.get('train_dataloader') or {}).get('batch_size')
    if not samples or not batch:
        return None
    return train_cfg.get('max_epochs', 1) * math.ceil(
        samples / batch / get_world_size())
