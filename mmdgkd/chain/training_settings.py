# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the outcome of a stage depends on, and how two configs differ in it."""
import contextlib
import hashlib
import json
import re
from typing import Any, Dict, List, Mapping

from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS

from mmdgkd.models.utils.logits import LOGITS
from mmdgkd.utils.config import find_type, in_own_scope, type_of, typed_parts

# What determines the weights and the metrics of a stage. The rest (logging,
# folders, launching, test data) may change from run to run.
_TRAINING_KEYS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper',
                  'param_scheduler', 'auto_scale_lr', 'val_dataloader',
                  'val_evaluator', 'val_cfg', 'custom_hooks', 'randomness',
                  'sync_bn', 'compile', 'efficient_conv_bn_eval',
                  'activation_checkpointing')
# The source of a recorder.
_LOGITS_KEY = re.compile(r'model\..*_recorders\.[^.]+\.source$')
# Data may move, which data_root tells; data_prefix is which part is read.
_IRRELEVANT = ('ckpt_path', 'data_root', 'num_workers', 'persistent_workers',
               'pin_memory', 'prefetch_factor', 'store_dir', 'cache_dir',
               'cache_bytes', 'file_key')


@in_own_scope
def training_settings(stage: Config) -> Dict[str, Any]:
    """The settings that determine the outcome of a stage, flat.

    Args:
        stage (Config): The config of a stage.

    Returns:
        dict[str, Any]: Values by dotted key, as JSON has them.
    """
    flat: Dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, Mapping) and value:
            for name, item in value.items():
                if name not in _IRRELEVANT:
                    walk(item, f'{key}.{name}')
        elif isinstance(value, (list, tuple)) and value:
            for i, item in enumerate(value):
                walk(item, f'{key}.{i}')
        else:
            flat[key] = json.loads(json.dumps(value, default=str))

    for key in _TRAINING_KEYS:
        if stage.get(key) is not None:
            walk(
                _training_hooks(stage)
                if key == 'custom_hooks' else stage[key], key)
    # It is that of chain.views, which the training data has.
    flat.pop('val_dataloader.dataset.skip_unreadable', None)
    return _with_named_logits(flat)


def _training_hooks(stage: Config) -> List[Mapping]:
    """The hooks of a stage without those that only write something."""
    found = []
    for hook in stage.custom_hooks:
        kind: Any = hook.get('type')
        # Building it names a mistake.
        with contextlib.suppress(KeyError):
            kind = find_type(HOOKS, kind)
        if getattr(kind, 'changes_training', True):
            found.append(hook)
    return found


def _with_named_logits(flat: Dict[str, Any]) -> Dict[str, Any]:
    """Settings with the name that logits had before they were found.

    Of a linear head they are the same, and stages that were trained by the
    name go on.
    """
    heads = {
        str(value).split('.')[-1]
        for key, value in flat.items() if key.endswith('.head.type')
    }
    if heads != {'LinearClsHead'}:
        return flat
    return {
        key: 'head.fc' if value == LOGITS and _LOGITS_KEY.match(key) else value
        for key, value in flat.items()
    }


def fingerprint(stage: Config) -> str:
    """The sha256 of :func:`training_settings`."""
    text = json.dumps(training_settings(stage), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def needs_validation(stage: Config) -> bool:
    """Whether the weights of a stage depend on its validation.

    Args:
        stage (Config): Its config.
    """
    parts = [
        *typed_parts(stage.get('param_scheduler')),
        *(stage.get('custom_hooks') or ())
    ]
    return ends_early(stage) or any('Plateau' in type_of(part)
                                    for part in parts)


@in_own_scope
def ends_early(stage: Config) -> bool:
    """Whether a stage may end before its last step.

    Args:
        stage (Config): Its config.
    """
    for hook in stage.get('custom_hooks') or ():
        kind: Any = hook.get('type')
        with contextlib.suppress(KeyError):
            kind = find_type(HOOKS, kind)
        if isinstance(kind, type) and issubclass(kind, EarlyStoppingHook):
            return True
    return False


def differences(old: Config, new: Config) -> List[str]:
    """The differences between two configs of a stage, a line each.

    Args:
        old (Config): The config that was run.
        new (Config): The config that is to be run.
    """
    before, after = training_settings(old), training_settings(new)
    return [
        f'{key} was {before.get(key, "not set")!r}, '
        f'is {after.get(key, "not set")!r}' for key in sorted({
            **before,
            **after
        }) if before.get(key, ...) != after.get(key, ...)
    ]
