# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The configs of the cases that benchmark.py times."""
import argparse
import copy
import os.path as osp
from typing import Any

import _baselines  # noqa: F401  (registers them)
from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.errors import ConfigError

CASES = ('released', 'mmrazor', 'live', 'drop', 'stored', 'student_alone')


def stage_of(cfg: Any, args: argparse.Namespace, name: str, guidance: str,
             folder: str) -> Any:
    """Make the config of a short stage with the usual hooks.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        name (str): The stage.
        guidance (str): As ``chain.guidance``.
        folder (str): Its work dir.

    Returns:
        Config: The config.
    """
    chain_cfg = copy.deepcopy(dict(cfg.chain), {})
    chain_cfg.update(guidance=guidance, logit_store=None)
    for network in chain_cfg['networks'].values():
        if network is not None:
            network.pop('ckpt_path', None)
    stage = stage_config(cfg, Chain.from_cfg(chain_cfg), name, {}, folder)
    stage.val_dataloader = stage.val_cfg = stage.val_evaluator = None
    stage.visualizer = None
    stage.test_dataloader = stage.test_cfg = stage.test_evaluator = None
    stage.default_hooks.checkpoint = None
    stage.train_cfg = dict(by_epoch=True, max_epochs=1)
    stage.param_scheduler = None
    if not args.no_amp:
        stage.optim_wrapper.type = 'AmpOptimWrapper'
        stage.optim_wrapper.setdefault('loss_scale', 'dynamic')
    return stage


def case_config(stage: Any, case: str, folder: str) -> Any:
    """Make the config of a case.

    Args:
        stage (Config): The stage with its teachers.
        case (str): One of ``CASES``; not ``'student_alone'``.
        folder (str): For the logit store.

    Returns:
        Config: The config.
    """
    cfg = Config(copy.deepcopy(stage.to_dict()), cfg_text=' ')
    distiller = cfg.model.distiller
    with_drop(distiller, case == 'drop')
    if case in ('released', 'mmrazor'):
        kind = {'released': 'ReleasedWay', 'mmrazor': 'MMRazorWay'}[case]
        cfg.model.type = f'mmrazor.{kind}'
        cfg.model.pop('teacher_options', None)
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
        cfg.custom_hooks = [
            hook for hook in cfg.get('custom_hooks') or []
            if 'FastNetworkHook' not in hook['type']
        ]
    if case == 'stored':
        cfg.custom_hooks = list(cfg.get('custom_hooks') or []) + [
            dict(
                type='mmrazor.LogitStoreHook',
                store_dir=osp.join(folder, 'logits'))
        ]
    return cfg


def with_drop(distiller: Any, drop: bool) -> None:
    """Drop one teacher in each step, or none.

    Args:
        distiller (dict): The config; it is changed.
        drop (bool): Whether one is dropped.

    Raises:
        ConfigError: If all losses are those of edges.
    """
    kind = 'mmrazor.StochasticDropConnector'
    connectors = dict(distiller.get('connectors') or {})
    names = {
        name
        for name, connector in connectors.items() if connector['type'] == kind
    }
    mappings = distiller.get('loss_forward_mappings') or {}
    if drop and not mappings:
        raise ConfigError("--cases: 'drop' drops teachers of "
                          'model.distiller.loss_forward_mappings, and there '
                          'are none; leave it out')
    for mapping in mappings.values():
        for record in mapping.values():
            if record.get('connector') in names:
                record.pop('connector')
            if drop and not record['from_student']:
                record['connector'] = 'drop'
    connectors = {
        name: cfg
        for name, cfg in connectors.items() if name not in names
    }
    if drop:
        connectors['drop'] = dict(type=kind, mode='count', num_drop=1)
    distiller['connectors'] = connectors
