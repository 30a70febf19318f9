# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Building the parts of a stage before any training."""
import copy
import re
from inspect import Parameter, signature
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import (LOOPS, METRICS, MODELS, OPTIMIZERS,
                               PARAM_SCHEDULERS)
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmdgkd.chain.chain import Chain
from mmdgkd.engine.hooks.visualizer_backends import check_visualizer
from mmdgkd.errors import ConfigError
from mmdgkd.models.teachers.cached_teachers import (check_logits, check_top_k,
                                                    logits_source,
                                                    mixed_batches)
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import MISTAKES, find_type, reason_of, typed_parts
from mmdgkd.utils.distributed import fit_to_device
from mmdgkd.utils.meta import QuickMeta


def check_stage(name: str, stage: Config, chain: Chain,
                models: Dict[str, nn.Module]) -> nn.Module:
    """Build all of a stage but its data.

    Args:
        name (str): The stage.
        stage (Config): Its config.
        chain (Chain): The chain.
        models (dict[str, nn.Module]): The networks, on the meta device.

    Returns:
        nn.Module: The algorithm, or the network if it has no teachers.

    Raises:
        ConfigError: If the algorithm, the optimizer, the schedule, the metric
            or the loop cannot be built, or no checkpoint would be left.
    """
    here = f'for the stage "{name}"'
    algorithm = models[name]
    if chain.teachers[name]:
        teachers = {
            teacher: models[teacher]
            for teacher in chain.teachers[name]
        }
        algorithm = _build_algorithm(stage, algorithm, teachers, here)
    _check_loop(stage.get('train_cfg'), here)
    check_visualizer(stage, here)
    _check_parts(stage, algorithm, here)
    _check_sync_bn(stage, algorithm, here)
    _check_checkpoint(stage, here)
    return algorithm


def _build_algorithm(stage: Config, network: nn.Module,
                     teachers: Dict[str, nn.Module], here: str) -> nn.Module:
    template = copy.deepcopy({
        key: value
        for key, value in stage.model.items()
        if key not in ('architecture', 'teachers')
    })
    template['architecture'] = network
    template['teachers'] = {
        name: dict(build_cfg=teacher)
        for name, teacher in teachers.items()
    }
    try:
        return MODELS.build(template)
    except MISTAKES as error:
        key, reason = 'model', reason_of(error)
        if re.match(r'model(\.\w+)+: ', reason):
            key, _, reason = reason.partition(': ')
        raise ConfigError(f'{key}: {here}: {reason}') from None


def _check_parts(stage: Config, algorithm: nn.Module, here: str) -> None:
    """Build the optimizer and the metrics; look up the schedules."""
    runtime = Config(copy.deepcopy(stage.to_dict()))
    fit_to_device(runtime)
    try:
        key = 'optim_wrapper'
        for optimizer in typed_parts(runtime.optim_wrapper.get('optimizer')):
            find_type(OPTIMIZERS, optimizer['type'])
        wrapper = build_optim_wrapper(algorithm, runtime.optim_wrapper)
        key = 'val_evaluator'
        for evaluator in typed_parts(runtime.get(key)):
            METRICS.build(evaluator)
        key = 'param_scheduler'
        for scheduler in typed_parts(runtime.get(key)):
            find_type(PARAM_SCHEDULERS, scheduler['type'])
            if not isinstance(wrapper, OptimWrapperDict):
                _build_schedule(scheduler, wrapper, runtime.train_cfg)
    except MISTAKES as error:
        raise ConfigError(f'{key}: {here}: {reason_of(error)}') from None
    several = getattr(type(wrapper), 'update_params', None)
    # A subclass may know how to update all.
    if several is OptimWrapperDict.update_params and (
            type(algorithm).train_step is BaseModel.train_step):
        raise ConfigError(
            f'optim_wrapper: {here}: gives {len(wrapper)} optimizers, but '
            f'{type(algorithm).__name__} has no train_step for several; use '
            'one')


def _build_schedule(scheduler: Dict, wrapper: OptimWrapper,
                    train_cfg: Dict) -> None:
    """Build a schedule as the Runner does, but for the unknown lengths."""
    unit = 'max_epochs' if scheduler.get('by_epoch', True) else 'max_iters'
    PARAM_SCHEDULERS.build(
        dict(dict(end=train_cfg.get(unit, 10**9)), **scheduler),
        default_args=dict(optimizer=wrapper, epoch_length=100))


def _check_sync_bn(stage: Config, algorithm: nn.Module, here: str) -> None:
    """Check that SyncBatchNorm is on GPUs. One process needs none of it."""
    if stage.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    key = 'sync_bn' if stage.get('sync_bn') else 'model'
    if key == 'sync_bn' or any(
            isinstance(part, nn.SyncBatchNorm)
            for part in algorithm.modules()):
        raise ConfigError(
            f"{key}: {here}: PyTorch's SyncBatchNorm needs GPUs, and there is "
            'none; use ordinary batch normalization')


def _check_checkpoint(stage: Config, here: str) -> None:
    checkpoint = (stage.get('default_hooks') or {}).get('checkpoint', {})
    if checkpoint is None or checkpoint.get('out_dir') or not checkpoint.get(
            'save_last', True):
        raise ConfigError(
            f'default_hooks.checkpoint: {here}: must be there, with save_last '
            'on and without out_dir: the trained network is taken from it')
    for key, right in (('filename_tmpl', None), ('save_optimizer', True),
                       ('save_param_scheduler', True)):
        if checkpoint.get(key, right) != right:
            raise ConfigError(
                f'default_hooks.checkpoint.{key}: {here}: must be {right}, or '
                'left out: the stage could not be resumed')


def _check_loop(train_cfg: Any, here: str) -> None:
    cfg = dict(train_cfg or {})
    kind = cfg.pop('type', None)
    if kind is None:
        loop = (
            EpochBasedTrainLoop
            if cfg.pop('by_epoch', True) else IterBasedTrainLoop)
    else:
        try:
            loop = find_type(LOOPS, kind)
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
                              'an integer, 1 or more')


def check_cacheable(stage: Config,
                    algorithm: nn.Module,
                    shape: Optional[Tuple[int, ...]],
                    top_k: Optional[int] = None) -> None:
    """Check that the logits of a stage's teachers can be cached.

    Args:
        stage (Config): Its config.
        algorithm (nn.Module): The algorithm, on the meta device.
        shape (tuple[int], optional): Shape (C, H, W) of an image.
        top_k (int, optional): That of the store. Defaults to None.

    Raises:
        ConfigError: If images are mixed in the batch, or if the losses need
            more of the teachers than a vector per image.
    """
    model = network_cfg(stage.model)
    if (model.get('data_preprocessor') or {}).get('batch_augments'):
        raise mixed_batches()
    if (model.get('train_cfg') or {}).get('augments'):
        # MMPretrain's classifier hands them on to its preprocessor.
        raise mixed_batches('model.train_cfg.augments')
    distiller = algorithm.distiller
    check_top_k(distiller, top_k)
    logits_source(distiller)
    if shape is None:
        return
    with distiller.teacher_recorders, QuickMeta():
        for name, teacher in algorithm.teachers.items():
            # Some networks leave out the dimension of a single image.
            teacher(torch.empty(2, *shape, device='meta'), mode='tensor')
        for name, output in distiller.recorded_logits().items():
            check_logits(name, output)
