# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the config of a work dir adds to its ledger.

A config is a program: it is run to be read.
"""
import logging
import os.path as osp
from inspect import signature
from typing import Any, Dict, List, Mapping, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.utils import register_all_modules

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import METHODS
from mmdgkd.chain.network import build_network, network_facts
from mmdgkd.chain.plan import length_of
from mmdgkd.chain.preflight.data_check import check_data
from mmdgkd.chain.stage_config import stage_config, training_settings
from mmdgkd.utils.config import reason_of
from .records import Run, Stage

# What may differ between runs of the same thing: the seed, whose files the
# teachers are, how they are built (they have results of their own), and how
# teachers are run and remembered.
_FREE = ('randomness.', 'model.teachers.', 'model.teacher_options.',
         'train_dataloader.dataset.seed')


def add_settings(run: Run) -> None:
    """Complete a run by what its config says; ``run.note`` if that fails.

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
            whole = chain.stage_of(name)
            trained = configs[whole]
            _add_to_stage(stage, trained, chain[whole])
        run.settings = _format_teachers(cfg, chain, run, configs)
        if any(stage.params is None for stage in run.stages.values()):
            _count_operations(run, cfg, chain, configs)
    except Exception as error:
        # The reason may name files of this machine: it is not for readers.
        run.note = f'its config.py could not be read ({type(error).__name__})'
        print_log(
            f'{path}: {reason_of(error)}; what only this config says is '
            'missing in the report',
            logger='current',
            level=logging.WARNING)


def _add_to_stage(stage: Stage, cfg: Config, network: Network) -> None:
    length, unit = length_of(cfg).split()
    stage.length = int(length) or None
    stage.unit = 'epoch' if unit == 'epochs' else 'iteration'
    if stage.state == 'given':
        return
    stage.settings = {
        key: value
        for key, value in training_settings(cfg).items()
        if not key.startswith(_FREE) and not _is_of_the_store(key, cfg)
    }
    if stage.teachers:
        stage.silent = _dropped(cfg.model.get('distiller') or {})
        stage.objective = _objective(cfg.model)
        if stage.silent:
            stage.method = f'stochastic {stage.method}'
    else:
        stage.objective = 'the labels alone'
    model = network.trainer or network.model
    for word, heard in filter(None, (method.objective(model)
                                     for method in METHODS.values())):
        if stage.teachers:
            stage.method = f'{stage.method}, {word}'
            stage.objective = f'{stage.objective}, and {heard}'
        else:
            stage.method, stage.objective = word, f'the labels and {heard}'


def _is_of_the_store(key: str, cfg: Config) -> bool:
    parts = key.split('.')
    return parts[0] == 'custom_hooks' and len(parts) > 1 and str(
        cfg.custom_hooks[int(parts[1])].get('type')).endswith('LogitStoreHook')


def _dropped(distiller: Mapping) -> Optional[str]:
    """How teachers are silenced, if a loss is connected so."""
    used = {
        str(source.get('connector'))
        for mapping in (distiller.get('loss_forward_mappings') or {}).values()
        for source in mapping.values() if isinstance(source, Mapping)
    }
    for name, cfg in (distiller.get('connectors') or {}).items():
        if name in used and str(
                cfg.get('type')).endswith('StochasticDropConnector'):
            return f'in each step some teachers are silent ({_arguments(cfg)})'
    return None


def _objective(model: Mapping) -> str:
    """The losses of a guided stage, as the config has them."""
    parts = [f'labels x {model.get("task_loss_weight", 1.0):g}']
    losses = (model.get('distiller') or {}).get('distill_losses') or {}
    for cfg in losses.values():
        parts.append(
            f'{str(cfg.get("type")).split(".")[-1]}({_arguments(cfg)})')
    return ' + '.join(parts)


def _arguments(cfg: Mapping, but: str = 'type') -> str:
    return ', '.join(f'{key}={value}' for key, value in cfg.items()
                     if key != but)


def _format_teachers(cfg: Config, chain: Chain, run: Run,
                     configs: Mapping[str, Config]) -> Dict[str, str]:
    """The settings that people ask for, of the last stage unless they say."""
    last = configs[chain.names[-1]]
    loader = last.get('train_dataloader') or {}
    dataset = loader.get('dataset') or {}
    dataset = dataset.get('dataset') or dataset
    optim = last.get('optim_wrapper') or {}
    words = {
        'training data':
        str(dataset.get('type', '-')),
        'augmentation':
        ', '.join(
            str(step.get('type')) for step in dataset.get('pipeline') or ()
            if 'PackInputs' not in str(step.get('type'))) or 'none',
        'batch size (per process)':
        str(loader.get('batch_size', '-')),
        'length':
        _by_stage({
            name: length_of(configs[name])
            for name in chain.names if run.stages[name].state != 'given'
        }),
        'optimizer':
        _call(optim.get('optimizer') or {}),
        'precision':
        'mixed (--amp)' if 'Amp' in str(optim.get('type')) else 'float32',
        'learning rate over time':
        _schedule(last.get('param_scheduler')),
        'objective of guided stages':
        _by_stage({
            name: str(stage.objective)
            for name, stage in run.stages.items() if stage.teachers
        }),
    }
    silent = {
        name: stage.silent
        for name, stage in run.stages.items() if stage.silent
    }
    if silent:
        words['stochastic teaching'] = '; '.join(
            f'{name}: {text}' for name, text in silent.items())
    store = chain.logit_store
    words['logit store'] = 'none' if store is None else _arguments(
        store, but='store_dir') or 'float16'
    if chain.views is None:
        words['views'] = 'not remembered'
    elif chain.views.get('num_views'):
        words['views'] = f'{chain.views["num_views"]} of each image'
    else:
        words['views'] = 'a new one of each image in each epoch'
    return words


def _by_stage(words: Mapping[str, str]) -> str:
    if len(set(words.values())) <= 1:
        return next(iter(words.values()), '-')
    return '; '.join(f'{name}: {text}' for name, text in words.items())


def _call(cfg: Mapping) -> str:
    return f'{cfg.get("type", "-")}({_arguments(cfg)})'


def _schedule(cfg: Any) -> str:
    steps: List = cfg if isinstance(cfg, (list, tuple)) else [cfg]
    names = [str(step.get('type')) for step in steps if step]
    return ', then '.join(names) or 'constant'


def _count_operations(run: Run, cfg: Config, chain: Chain,
                      configs: Mapping[str, Config]) -> None:
    """Parameters and MACs, of work dirs whose ledger does not have them."""
    scope = cfg.get('default_scope', 'mmpretrain')
    register_all_modules(init_default_scope=False)
    known: Dict = {}
    with DefaultScope.overwrite_default_scope(scope):
        for name, stage in run.stages.items():
            try:
                _refuse_downloads(configs[name])
                shape = check_data(configs[name], known).shape
            except ValueError:
                shape = None  # the data need not be on this machine
            facts = network_facts(
                build_network(chain[name], scope), name, shape)
            stage.params, stage.macs = facts.params, facts.macs


def _refuse_downloads(stage: Config) -> None:
    """A report fetches nothing."""
    for key in ('train_dataloader', 'val_dataloader'):
        dataset = (stage.get(key) or {}).get('dataset') or {}
        while isinstance(dataset, Mapping):
            kind = DATASETS.get(str(dataset.get('type')))
            if kind and 'download' in signature(kind).parameters:
                dataset['download'] = False
            dataset = dataset.get('dataset')
