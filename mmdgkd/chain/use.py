# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which weights of a training are those of the network: last, best, averaged.

They are written as its file, and so teach, are tested and exported.
"""
import contextlib
import os.path as osp
from glob import glob
from typing import Any, Dict, Mapping, Optional

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import checkpoint_meta
from mmdgkd.utils.config import find_type
from mmdgkd.utils.metrics import rule_of

USES = ('last', 'best', 'ema')
# Of at most 10,000 steps, as ConvNeXt's, and of a twentieth of those so far,
# so that the beginning of a short training does not count.
_AVERAGE = dict(
    type='EMAHook',
    ema_type='MomentumAnnealingEMA',
    momentum=1e-4,
    gamma=20,
    priority='ABOVE_NORMAL')


def read_use(entry: Mapping[str, Any], here: str) -> str:
    """Read ``use`` of a network.

    Args:
        entry (Mapping): The entry of the network.
        here (str): Its config key.

    Raises:
        ConfigError: If it is none of :data:`USES`, or of a network that is
            not trained.
    """
    use = entry.get('use') or 'last'
    if use not in USES:
        raise ConfigError(f'{here}.use: {use!r} is none of {", ".join(USES)}')
    if use != 'last' and entry.get('ckpt_path'):
        raise ConfigError(
            f'{here}.use: {use!r} is for a network that is trained here, but '
            'it has a ckpt_path; leave it out, and name other weights in that '
            'file by ckpt_key')
    return use


def prepare_use(stage: Config, use: str, here: str, metric: Optional[str],
                rule: Optional[str]) -> None:
    """Have a stage average its weights, or keep those of the best epoch.

    Args:
        stage (Config): The config of the stage; it is changed.
        use (str): The ``use`` of its network.
        here (str): The config key of the network.
        metric (str, optional): ``chain.metric``; None: the first number.
        rule (str, optional): Which of two of its values is better; None: by
            its name.

    Raises:
        ConfigError: If there is no best epoch.
    """
    if use == 'ema' and not _averages(stage):
        stage.custom_hooks = [
            *(stage.get('custom_hooks') or ()),
            dict(_AVERAGE)
        ]
    if use != 'best':
        return
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):
        if stage.get(key) is None:
            raise ConfigError(f"{here}.use: 'best' needs a validation, but "
                              f'{key} is missing')
    loop = stage.get('train_cfg') or {}
    length = loop.get('max_epochs', loop.get('max_iters', 1))
    if (loop.get('val_begin') or 1) > length:
        raise ConfigError(f"{here}.use: 'best' needs a validation, but "
                          f'train_cfg.val_begin={loop["val_begin"]} is after '
                          f'the end, {length}')
    rule = rule or (rule_of(metric) if metric else None)
    if metric and rule is None:
        raise ConfigError(
            f"{here}.use: 'best' of {metric!r} is not known; set "
            f"chain.metric=dict(name={metric!r}, rule='greater' or 'less')")
    checkpoint = (stage.get('default_hooks') or {}).get('checkpoint')
    if checkpoint is None:
        raise ConfigError(f"{here}.use: 'best' needs a checkpoint, but "
                          'default_hooks.checkpoint is off')
    wanted = metric or 'auto'
    if checkpoint.get('save_best') not in (None, wanted):
        raise ConfigError(
            'default_hooks.checkpoint.save_best: '
            f'{checkpoint["save_best"]!r} is not chain.metric, by which '
            f"{here}.use='best' chooses; leave it out")
    checkpoint['save_best'] = wanted
    if rule:
        checkpoint['rule'] = rule


def best_checkpoint(folder: str, unit: str, step: int) -> Optional[str]:
    """The checkpoint of the best validation, if it was kept.

    Args:
        folder (str): The folder of the stage.
        unit (str): ``'epoch'`` or ``'iter'``.
        step (int): The best one.
    """
    for path in sorted(glob(osp.join(folder, 'best_*.pth'))):
        # The hook that writes it removes the one before last.
        with contextlib.suppress(ConfigError):
            if checkpoint_meta(path, 'work_dir').get(unit) == step:
                return path
    return None


def used_value(entry: Mapping[str, Any]) -> Optional[float]:
    """The metric of the weights that are used.

    Args:
        entry (Mapping): The entry of the network in the ledger.
    """
    metric = entry.get('metric', {})
    return metric.get('best' if entry.get('use') == 'best' else 'last')


def format_use(entry: Mapping[str, Any]) -> str:
    """Such as ``', best at 7'``; empty for the last weights.

    Args:
        entry (Mapping): The entry of the network in the ledger.
    """
    use = entry.get('use', 'last')
    if use == 'last':
        return ''
    at = entry.get('metric', {}).get('best_at') if use == 'best' else None
    return f', {use}' if at is None else f', {use} at {at}'


def same_weights(entry: Mapping[str, Any], use: str) -> bool:
    """Whether a ``use`` is that by which a stage was trained.

    MMEngine's checkpoints have the averages in place of the weights, where
    there are any: the last ones are these.

    Args:
        entry (Mapping): The entry of the network in the ledger.
        use (str): Its ``use`` now.
    """
    return (entry.get('use') == 'best') == (use == 'best')


def use_entry(use: str) -> Dict[str, str]:
    """The entry of a ``use`` in the ledger and in the meta of a file.

    Args:
        use (str): The ``use`` of a network.
    """
    return {} if use == 'last' else dict(use=use)


def _averages(stage: Config) -> bool:
    for hook in stage.get('custom_hooks') or ():
        with contextlib.suppress(KeyError):
            kind = find_type(HOOKS, hook.get('type'))
            if isinstance(kind, type) and issubclass(kind, EMAHook):
                return True
    return False
