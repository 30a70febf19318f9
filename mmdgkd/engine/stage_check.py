# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Building the parts of a stage before any training, to see that they do."""
import copy
import json
from inspect import Parameter, signature
from typing import Any, Dict, List, Tuple

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (DATASETS, LOOPS, METRICS, MODELS, OPTIMIZERS,
                               PARAM_SCHEDULERS, Registry)
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmdgkd.errors import ConfigError
from .chain import Chain
from .distributed import fit_to_device

# What a wrong config raises inside of MMEngine and its family.
MISTAKES = (AssertionError, AttributeError, ImportError, LookupError, OSError,
            RuntimeError, TypeError, ValueError)


def reason_of(error: BaseException) -> str:
    """The first line of an exception."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_stage(name: str, stage: Config, chain: Chain,
                models: Dict[str, nn.Module]) -> None:
    """Build all of a stage but its data.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        chain (Chain): The chain.
        models (dict[str, nn.Module]): The networks, on the meta device.

    Raises:
        ConfigError: If the algorithm, the optimizer, the schedule, the metric
            or the loop cannot be built, or no checkpoint would be left.
    """
    here = f'for the stage "{name}"'
    algorithm = models[name]
    if chain.guides[name]:
        template = copy.deepcopy({
            key: value
            for key, value in stage.model.items()
            if key not in ('architecture', 'teachers')
        })
        template['architecture'] = algorithm
        template['teachers'] = {
            guide: dict(build_cfg=models[guide])
            for guide in chain.guides[name]
        }
        try:
            algorithm = MODELS.build(template)
        except MISTAKES as error:
            raise ConfigError(f'model: {here}: {reason_of(error)}') from None
    _check_loop(stage.get('train_cfg'), here)
    runtime = Config(copy.deepcopy(stage.to_dict()))
    fit_to_device(runtime)
    try:
        key = 'optim_wrapper'
        for optimizer in _typed(runtime.optim_wrapper.get('optimizer')):
            _find(OPTIMIZERS, optimizer['type'])
        build_optim_wrapper(algorithm, runtime.optim_wrapper)
        key = 'val_evaluator'
        for evaluator in _typed(runtime.get(key)):
            METRICS.build(evaluator)
        key = 'param_scheduler'
        for scheduler in _typed(runtime.get(key)):
            _find(PARAM_SCHEDULERS, scheduler['type'])
    except MISTAKES as error:
        raise ConfigError(f'{key}: {here}: {reason_of(error)}') from None
    checkpoint = (stage.get('default_hooks') or {}).get('checkpoint', {})
    if checkpoint is None or checkpoint.get('out_dir') or not checkpoint.get(
            'save_last', True):
        raise ConfigError(
            f'default_hooks.checkpoint: {here}: must be there, with save_last '
            'on and without out_dir: the trained network is taken from it')


def _find(registry: Registry, kind: Any) -> Any:
    """The class of a type in the default scope, as a Runner finds it.

    Raises:
        KeyError: If there is none.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as inner:
        found = inner.get(kind)
    if found is None:
        raise KeyError(f'there is no {kind}')
    return found


def _typed(cfg: Any) -> List[Dict]:
    """The parts of a config that may be one, a list, or several by name."""
    if isinstance(cfg, (list, tuple)):
        return [part for item in cfg for part in _typed(item)]
    if isinstance(cfg, dict) and 'type' not in cfg:
        return [part for item in cfg.values() for part in _typed(item)]
    return [cfg] if isinstance(cfg, dict) else []


def _check_loop(train_cfg: Any, here: str) -> None:
    cfg = dict(train_cfg or {})
    kind = cfg.pop('type', None)
    if kind is None:
        loop = (
            EpochBasedTrainLoop
            if cfg.pop('by_epoch', True) else IterBasedTrainLoop)
    else:
        try:
            loop = _find(LOOPS, kind)
        except KeyError as error:
            raise ConfigError(f'train_cfg: {here}: {error}') from None
    known = {
        key: parameter
        for key, parameter in signature(loop).parameters.items()
        if key not in ('runner', 'dataloader')
    }
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD
                    for parameter in known.values())
    for key in cfg:
        if key not in known and not takes_any:
            raise ConfigError(f'train_cfg.{key}: {here}: is unknown; it takes '
                              f'{", ".join(known)}')
    for key, parameter in known.items():
        if parameter.default is Parameter.empty and key not in cfg:
            raise ConfigError(f'train_cfg.{key}: {here}: is missing')
    for key in ('max_epochs', 'max_iters'):
        if key in cfg and not (isinstance(cfg[key], int) and cfg[key] > 0):
            raise ConfigError(f'train_cfg.{key}: {here}: {cfg[key]!r} must be '
                              'a whole number, 1 or more')


def check_data(stage: Config, known: Dict[str, Tuple]) -> Tuple:
    """Build the data sets of a stage and take a sample of each.

    Args:
        stage (Config): The config of the stage.
        known (dict): What has been built already; it is added to.

    Returns:
        tuple: Shape (C, H, W) of an image and number of classes, of the data
        for validation if there is any; (None, None) without data.

    Raises:
        ConfigError: If the data is not there or cannot be read.
    """
    found: Tuple = (None, None)
    for key in ('train_dataloader', 'val_dataloader'):
        if stage.get(key) is None:
            continue
        dataset_cfg = stage[key].get('dataset')
        text = json.dumps(dataset_cfg, default=str, sort_keys=True)
        if text not in known:
            try:
                dataset = DATASETS.build(dataset_cfg)
                shape = tuple(dataset[0]['inputs'].shape)
                classes = len(dataset.metainfo.get('classes') or ())
            except MISTAKES as error:
                raise ConfigError(f'{key}.dataset: {reason_of(error)}'
                                  f'{_where_to_put(dataset_cfg)}') from None
            known[text] = shape, classes
        found = known[text]
    return found


def _where_to_put(dataset_cfg: Any) -> str:
    """For a data set of the CIFAR family the files that it looks for."""
    cfg = dataset_cfg if isinstance(dataset_cfg, dict) else {}
    if not cfg.get('data_root'):
        return ''
    dataset = _find(DATASETS, cfg.get('type'))
    folder = getattr(dataset, 'base_folder', None)
    if folder is None:
        return ''
    files = [name for name, _ in dataset.train_list + dataset.test_list]
    return (f'; put the official files ({", ".join(files)}, '
            f'{dataset.meta["filename"]}) into '
            f"'{cfg['data_root'].rstrip('/')}/{folder}/', or set data_root to "
            'where they are')
