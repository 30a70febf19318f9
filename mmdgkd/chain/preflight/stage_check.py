# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Building the parts of a stage before any training."""
import copy
import json
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (DATA_SAMPLERS, DATASETS, LOOPS, METRICS, MODELS,
                               OPTIMIZERS, PARAM_SCHEDULERS)
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmdgkd.chain.chain import Chain
from mmdgkd.datasets.labels import sample_class
from mmdgkd.engine.hooks.visualizer_backends import check_visualizer
from mmdgkd.errors import ConfigError
from mmdgkd.models.teachers.cached_teachers import check_logits, mixed_batches
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import MISTAKES, find_type, reason_of, typed_parts
from mmdgkd.utils.distributed import fit_to_device


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
        if reason.startswith(('model.distiller.', 'model.generator')):
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
        build_optim_wrapper(algorithm, runtime.optim_wrapper)
        key = 'val_evaluator'
        for evaluator in typed_parts(runtime.get(key)):
            METRICS.build(evaluator)
        key = 'param_scheduler'
        for scheduler in typed_parts(runtime.get(key)):
            find_type(PARAM_SCHEDULERS, scheduler['type'])
    except MISTAKES as error:
        raise ConfigError(f'{key}: {here}: {reason_of(error)}') from None


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


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data of a stage.

    Attributes:
        shape (tuple[int], optional): Shape (C, H, W) of an image.
        classes (int, optional): Number of classes; 0 if its metainfo has none.
        samples (int, optional): Length of the training data.
        views (int, optional): How many views there are of a sample in
            training; None: one an epoch.
        batched (bool): Whether the data set returns whole batches.
        sample (DataSample, optional): Of an image of the training data.
        why_no_class (str, optional): Why the class of that image is not known;
            None if it is.
    """

    shape: Optional[Tuple[int, ...]] = None
    classes: Optional[int] = None
    samples: Optional[int] = None
    views: Optional[int] = None
    batched: bool = False
    sample: Any = None
    why_no_class: Optional[str] = None


def check_data(stage: Config, known: Dict[str, DataFacts]) -> DataFacts:
    """Build the data sets of a stage and take a sample of each.

    Args:
        stage (Config): The config of the stage.
        known (dict): What has been built already; it is added to.

    Returns:
        DataFacts: Shape and classes are of the data for validation if there
        is any; without data all is None.

    Raises:
        ConfigError: If the data is not there or cannot be read, or its
            sampler cannot be built, or if its parts have other classes.
    """
    found = {}
    for key in ('train_dataloader', 'val_dataloader'):
        if stage.get(key) is None:
            continue
        loader = stage[key]
        text = json.dumps([loader.get('dataset'), loader.sampler],
                          default=str,
                          sort_keys=True)
        if text not in known:
            known[text] = _read_data(loader, key)
        found[key] = known[text]
        if found[key].batched:
            _check_batched(stage, key)
    train = found.get('train_dataloader', DataFacts())
    other = found.get('val_dataloader', train)
    if train.classes and other.classes and train.classes != other.classes:
        raise ConfigError(
            f'val_dataloader.dataset: has {other.classes} classes, '
            f'train_dataloader.dataset has {train.classes}; both must have the'
            ' same')
    return replace(
        other,
        classes=other.classes or train.classes,
        samples=train.samples,
        views=train.views,
        sample=train.sample,
        why_no_class=train.why_no_class)


def _read_data(loader: Config, key: str) -> DataFacts:
    """Build a data set and its sampler, and take a sample."""
    cfg, part = loader.get('dataset'), f'{key}.dataset'
    try:
        dataset = DATASETS.build(cfg)
        first = dataset[0]
        facts = DataFacts(
            tuple(first['inputs'].shape),
            len(dataset.metainfo.get('classes') or ()), len(dataset),
            getattr(dataset, 'num_views', None),
            hasattr(getattr(dataset, 'dataset', dataset), 'get_batch'),
            first.get('data_samples'), _why_no_class(dataset))
        part = f'{key}.sampler'
        DATA_SAMPLERS.build(
            loader.sampler, default_args=dict(dataset=dataset, seed=0))
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError(
            f'{part}: {reason_of(error)}{_where_to_put(cfg)}') from None
    return facts


def _why_no_class(dataset: Any) -> Optional[str]:
    # Most losses do not need it: without it the stage may still train.
    try:
        sample_class(dataset, 0)
    except ConfigError as error:
        return str(error)
    except MISTAKES as error:
        return f'train_dataloader.dataset: {reason_of(error)}'
    return None


def _check_batched(stage: Config, key: str) -> None:
    """Check that collate and preprocessor take a batched data set."""
    collate = (stage[key].get('collate_fn') or {}).get('type')
    if str(collate).split('.')[-1] not in ('pseudo_collate', 'None'):
        raise ConfigError(
            f'{key}.collate_fn: {collate!r} cannot take the whole batches of '
            "a batched data set; use dict(type='pseudo_collate')")
    model = network_cfg(stage.model)
    kind = (model.get('data_preprocessor') or {}).get('type')
    if str(kind).split('.')[-1] != 'BatchedDataPreprocessor':
        raise ConfigError(
            f'data_preprocessor.type: {kind!r} cannot take the whole batches '
            f"of {key}'s batched data set; use type='BatchedDataPreprocessor'")


def check_cacheable(stage: Config, algorithm: nn.Module,
                    shape: Optional[Tuple[int, ...]]) -> None:
    """Check that the logits of a stage's teachers can be cached.

    Args:
        stage (Config): Its config.
        algorithm (nn.Module): The algorithm, on the meta device.
        shape (tuple[int], optional): Shape (C, H, W) of an image.

    Raises:
        ConfigError: If images are mixed in the batch, or if the losses need
            more of the teachers than a vector per image.
    """
    model = network_cfg(stage.model)
    if (model.get('data_preprocessor') or {}).get('batch_augments'):
        raise mixed_batches()
    distiller = algorithm.distiller
    distiller.logits_source()
    if shape is None:
        return
    with distiller.teacher_recorders:
        for name, teacher in algorithm.teachers.items():
            teacher(torch.empty(1, *shape, device='meta'), mode='tensor')
        for name, output in distiller.recorded_logits().items():
            check_logits(name, output)


def _where_to_put(dataset_cfg: Any) -> str:
    """For a data set of the CIFAR family the files that it looks for."""
    cfg = dataset_cfg if isinstance(dataset_cfg, dict) else {}
    cfg = cfg.get('dataset') or cfg
    if not cfg.get('data_root'):
        return ''
    dataset = find_type(DATASETS, cfg.get('type'))
    folder = getattr(dataset, 'base_folder', None)
    if folder is None:
        return ''
    files = [name for name, _ in dataset.train_list + dataset.test_list]
    return (f'; put the official files ({", ".join(files)}, '
            f'{dataset.meta["filename"]}) into '
            f"'{cfg['data_root'].rstrip('/')}/{folder}/', or set data_root to "
            'where they are')
