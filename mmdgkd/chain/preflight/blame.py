# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which config key an exception of a stage is about."""
import contextlib
import re
import traceback
from difflib import get_close_matches
from inspect import signature
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import OPTIMIZERS, Registry
from mmengine.runner import ValLoop

from mmdgkd.errors import (ConfigError, TrainingError, TrainingStopped,
                           write_traceback)
from mmdgkd.utils.config import reason_of, type_of
from mmdgkd.utils.peers import is_of_lost_peer

# By the functions of MMEngine that are at work.
_KEYS = dict(
    setup_env='env_cfg',
    set_randomness='randomness',
    build_logger='log_level',
    build_visualizer='visualizer',
    build_log_processor='log_processor',
    build_model='model',
    wrap_model='model_wrapper_cfg',
    register_default_hooks='default_hooks',
    register_custom_hooks='custom_hooks',
    build_train_loop='train_cfg',
    train_step='model',
    build_val_loop='val_cfg',
    build_optim_wrapper='optim_wrapper',
    update_params='optim_wrapper',
    build_param_scheduler='param_scheduler',
    _build_param_scheduler='param_scheduler',
    build_evaluator='val_evaluator',
    scale_lr='auto_scale_lr')
_NOTHING = ('model', 'nothing would be trained: nothing in its losses with '
            '"loss" in the name and a weight above 0 depends on a parameter')
# What PyTorch and MMEngine say: the config key, if it is always the same, and
# what would be right.
_ADVICE = {
    "object has no attribute 'backward'":
    _NOTHING,
    'does not require grad':
    _NOTHING,
    'find_unused_parameters=True':
    ('find_unused_parameters', 'must be on with several processes, since some '
     'parameters get no gradient; set find_unused_parameters=True'),
    'SyncBatchNorm':
    ('sync_bn', "PyTorch's SyncBatchNorm needs GPUs, and there is none; use "
     'ordinary batch normalization'),
    'by each optimizer separately':
    ('optim_wrapper', 'gives several optimizers, but the model has no '
     'train_step for several; use one'),
    'stack expects each tensor to be equal size':
    (None, 'gives images of several shapes, which do not fit into one batch; '
     'add a transform that resizes or crops them to one'),
}


@contextlib.contextmanager
def describe(name: str, stage: Config) -> Iterator[None]:
    """Turn an exception of a stage into one line.

    Args:
        name (str): The stage.
        stage (Config): Its config.

    Raises:
        ConfigError: With the stage, the config key where it can be known, the
            reason, and a file with the traceback.
    """
    here = f'for the stage "{name}"'
    # At the top there is the model of stages with teachers.
    taught = 'distiller' in (stage.get('model') or {})

    def own(key: Optional[str]) -> Optional[str]:
        return f'chain.networks.{name}.model' if key == 'model' and not (
            taught) else key

    try:
        yield
    except TrainingStopped as error:
        raise TrainingStopped(
            f'stopped in the rehearsal of the stage "{name}", before any '
            'training') from error
    except (ConfigError, TrainingError) as error:
        # Not what is in a folder that is gone by then.
        text = re.sub('; [^;]*mmdgkd_rehearsal_[^;]*', '', str(error))
        if f'"{name}"' not in text:
            begins_with_key = re.split(
                '[.:]', text)[0] in {'chain', 'data_preprocessor', *stage}
            key = None if begins_with_key else own(key_of(error, stage))
            text = f'{key}: {here}: {text}' if key else (
                f'{text} (stage "{name}")')
        raise type(error)(text) from None
    except Exception as error:
        if is_of_lost_peer(error):
            raise
        key = own(key_of(error, stage)) or f'chain.networks.{name}'
        for text, (always, advice) in _ADVICE.items():
            if text in str(error):
                raise ConfigError(f'{own(always) or key}: {here}: {advice}; '
                                  f'{_traceback(error)}') from None
        unknown = _unknown(error)
        if unknown:
            raise ConfigError(
                f'{key}{unknown[0]}: {here}: {unknown[1]}') from None
        reason = reason_of(error)
        if not isinstance(error, (KeyError, ValueError)):
            reason = f'{type(error).__name__}: {reason}'
        raise ConfigError(
            f'{key}: {here}: {reason}; {_traceback(error)}') from None


def _traceback(error: BaseException) -> str:
    return f'the traceback is in {write_traceback(error)}'


def key_of(error: BaseException, stage: Config) -> Optional[str]:
    """The config key that an exception is about, by the functions it went by.

    Args:
        error (BaseException): The exception.
        stage (Config): The config of the stage.

    Returns:
        str: None if it is not known.
    """
    key, loader, is_built = None, 'train_dataloader', False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code, owner = frame.f_code, frame.f_locals.get('self')
        name = code.co_name
        if name == 'build_val_loop' or isinstance(owner, ValLoop):
            loader, key = 'val_dataloader', 'model'
        is_built = is_built or name == 'build_dataloader'
        key = _KEYS.get(name, key)
        kind = frame.f_locals.get('obj_cls')
        if name == 'build_dataloader':
            key = loader
        elif isinstance(kind, type) and issubclass(kind, BaseDataPreprocessor):
            key = 'data_preprocessor'
        elif (name == 'build_dataset'
              or '/torch/utils/data/' in code.co_filename and not is_built):
            key = f'{loader}.dataset'
        elif isinstance(owner, BaseMetric):
            key = 'val_evaluator'
        elif name == 'call_hook' or isinstance(owner, Hook):
            hook = frame.f_locals.get('hook', owner)
            key = _key_of_hook(hook, stage) or key
    # The call itself fails if it gets what it does not take.
    called = re.search(r'(\w+)\(\) got an unexpected keyword', str(error))
    return _KEYS.get(called[1], key) if called else key


def _key_of_hook(hook: Hook, stage: Config) -> Optional[str]:
    kind = type(hook).__name__
    for key, cfg in (stage.get('default_hooks') or {}).items():
        if cfg and type_of(cfg) == kind:
            return ('param_scheduler'
                    if key == 'param_scheduler' else f'default_hooks.{key}')
    if any(type_of(cfg) == kind for cfg in stage.get('custom_hooks') or ()):
        return f'custom_hooks: {kind}'
    return None


def _unknown(error: BaseException) -> Optional[Tuple[str, str]]:
    """What to say of an unknown argument or type: its key, and the nearest."""
    frames = [
        frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    argument = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    built = [frame for frame in frames if frame.get('obj_cls') is not None]
    if argument and built:
        kind = built[-1]['obj_cls']
        names = [*signature(kind).parameters]
        return f'.{argument[1]}', (
            f'is unknown to {kind.__name__}{_nearest(argument[1], names)}')
    built = [frame for frame in frames if 'obj_type' in frame]
    if built and ' is not in the ' in str(error):
        kind, registry = built[-1]['obj_type'], built[-1]['registry']
        return '.type', f'there is no {kind}{_nearest(kind, _all(registry))}'
    if 'None is not a callable object' in str(error):
        for frame in frames:
            if 'optimizer_cfg' in frame:
                kind = frame['optimizer_cfg']['type']
                return '.optimizer.type', (
                    f'there is no {kind}{_nearest(kind, _all(OPTIMIZERS))}')
    return None


def _all(registry: Registry) -> List[str]:
    return [
        *registry.module_dict, *(name for child in registry.children.values()
                                 for name in child.module_dict)
    ]


def _nearest(word: Any, known: List[str]) -> str:
    known = [name for name in known if name not in ('self', 'args', 'kwargs')]
    name = str(word).split('.')[-1]
    # The very name is in another scope.
    near = get_close_matches(name, [*{*known} - {name}], 1)
    if near:
        return f'; "{near[0]}" is meant'
    return f'; it takes {", ".join(known)}' if 0 < len(known) < 20 else ''
