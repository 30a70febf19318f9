# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the config of a work dir adds to its ledger.

A config is a program: it is run to be read.
"""
import logging
import os.path as osp
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import METHODS
from mmdgkd.chain.plan import length_of
from mmdgkd.chain.splits import split_line
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.chain.training_settings import training_settings
from mmdgkd.utils.config import reason_of, typed_parts
from .images import sources_of
from .records import Run, Stage

# What may differ between runs of the same training: the seed, whose files the
# teachers are, how they are built (they have results of their own), and how
# their outputs are computed and cached.
_FREE = ('randomness.', 'model.teachers.', 'model.teacher_options.',
         'train_dataloader.dataset.seed')


def add_settings(run: Run) -> None:
    """Complete a run by its config; set ``run.note`` if that fails.

    Args:
        run (Run): It is changed.
    """
    path = osp.join(run.path, 'config.py')
    try:
        # A config may do anything, and so may fail with anything.
        cfg = Config.fromfile(path)
        chain = Chain.from_cfg(cfg.get('chain'))
        if chain.names != list(run.stages):
            raise ValueError('it is of another chain than chain.json')
        configs = {
            name: stage_config(cfg, chain, name, {}, '')
            for name in chain.names
        }
        if run.seed is None:
            run.seed = (cfg.get('randomness') or {}).get('seed')
        for name, stage in run.stages.items():
            # Of a width, or one of several networks, that of all of them.
            parent = chain.stage_of(name)
            _add_to_stage(stage, configs[parent], chain[parent])
        run.settings = _format_settings(chain, run, configs)
        run.images = sources_of(configs[chain.names[-1]])
    except Exception as error:
        # The reason may name files of this machine: it is not for readers.
        run.note = f'its config.py could not be read ({type(error).__name__})'
        print_log(
            f'{path}: {reason_of(error)}; what only this config has is '
            'missing in the report',
            logger='current',
            level=logging.WARNING)


def _add_to_stage(stage: Stage, cfg: Config, network: Network) -> None:
    length, unit = length_of(cfg).split()
    stage.length = int(length) or None
    stage.unit = 'epoch' if unit == 'epochs' else 'iteration'
    if stage.state == 'given':
        return
    stores = tuple(f'custom_hooks.{i}.'
                   for i, hook in enumerate(cfg.get('custom_hooks') or ())
                   if str(hook.get('type')).endswith('LogitStoreHook'))
    stage.settings = {
        key: value
        for key, value in training_settings(cfg).items()
        if not key.startswith(_FREE + stores)
    }
    stage.objective = 'labels only'
    if stage.teachers:
        distiller = cfg.model.get('distiller') or {}
        losses = (distiller.get('distill_losses') or {}).values()
        stage.objective = ' + '.join([
            f'labels x {cfg.model.get("task_loss_weight", 1.0):g}',
            *(_call(loss) for loss in losses)
        ])
        stage.dropped = _dropped(distiller)
        if stage.dropped:
            stage.method = f'stochastic {stage.method}'
    model = network.trainer or network.model
    found = [method.objective(model) for method in METHODS.values()]
    for label, sources in filter(None, found):
        if stage.teachers:
            stage.method += f', {label}'
            stage.objective += f', and {sources}'
        else:
            stage.method, stage.objective = label, f'labels and {sources}'


def _dropped(distiller: Mapping) -> str | None:
    """How teachers are dropped, if a loss has such a connector."""
    used = {
        str(source.get('connector'))
        for mapping in (distiller.get('loss_forward_mappings') or {}).values()
        for source in mapping.values() if isinstance(source, Mapping)
    }
    for name, cfg in (distiller.get('connectors') or {}).items():
        if name in used and str(
                cfg.get('type')).endswith('StochasticDropConnector'):
            return ('in each step some teachers are dropped '
                    f'({_arguments(cfg)})')
    return None


def _arguments(cfg: Mapping, but: str = 'type') -> str:
    return ', '.join(f'{key}={value}' for key, value in cfg.items()
                     if key != but)


def _call(cfg: Mapping) -> str:
    return f'{str(cfg.get("type", "-")).split(".")[-1]}({_arguments(cfg)})'


def _format_settings(chain: Chain, run: Run,
                     configs: Mapping[str, Config]) -> dict[str, str]:
    """The settings that people look for; of the last stage if not by stage."""
    last = configs[chain.names[-1]]
    loader = last.get('train_dataloader') or {}
    dataset = loader.get('dataset') or {}
    mix = (dataset.get('mix') or {}).get('augments') or ()
    dataset = dataset.get('dataset') or dataset
    optim = last.get('optim_wrapper') or {}
    schedule: Any = last.get('param_scheduler') or []
    if isinstance(schedule, Mapping):
        schedule = [schedule]
    steps = [*(dataset.get('pipeline') or ()), *typed_parts(mix)]
    steps = [str(step.get('type')) for step in steps]
    store, views = chain.logit_store, chain.views
    settings = {'training data': str(dataset.get('type', '-'))}
    for line in split_line(chain).splitlines():
        key, _, value = line.partition(': ')
        settings[key] = value
    settings['augmentation'] = ', '.join(
        step for step in steps if 'PackInputs' not in step) or 'none'
    settings['batch size (per process)'] = str(loader.get('batch_size', '-'))
    settings['length'] = _by_stage({
        name: length_of(configs[name])
        for name, stage in run.stages.items() if stage.state != 'given'
    })
    settings['optimizer'] = _call(optim.get('optimizer') or {})
    amp = 'Amp' in str(optim.get('type'))
    settings['precision'] = 'mixed (--amp)' if amp else 'float32'
    settings['learning rate over time'] = ', then '.join(
        str(step.get('type')) for step in schedule) or 'constant'
    settings['objective of stages with teachers'] = _by_stage({
        name:
        stage.objective
        for name, stage in run.stages.items() if stage.teachers
    })
    dropped = [
        f'{name}: {stage.dropped}' for name, stage in run.stages.items()
        if stage.dropped
    ]
    if dropped:
        settings['stochastic teaching'] = '; '.join(dropped)
    settings['logit store'] = 'none' if store is None else (_arguments(
        {
            key: item
            for key, item in store.items() if not key.startswith('cache')
        },
        but='store_dir') or 'float16')
    settings['views'] = 'none' if views is None else (
        f'{views["num_views"]} of each image'
        if views.get('num_views') else 'a new one of each image in each epoch')
    return settings


def _by_stage(values: Mapping[str, Any]) -> str:
    if len(set(values.values())) <= 1:
        return next(map(str, values.values()), '-')
    return '; '.join(f'{name}: {value}' for name, value in values.items())
