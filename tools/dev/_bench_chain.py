# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Time a whole chain against its networks alone."""
import argparse
import copy
import os.path as osp
from statistics import median
from typing import Any, Dict, List, Tuple

import torch
from _bench import Case
from _bench_cases import case_config, stage_of, with_drop
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmdgkd.utils.table import draw_table

WAYS = ('alone', 'stored', 'live')


def time_chain(cfg: Any, args: argparse.Namespace, folder: str) -> Dict:
    """Time all stages alone, with a store, and with live teachers.

    A stage is the same in every chain that begins alike, so that the first n
    stages are the chain of n networks.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        folder (str): Where it writes.

    Returns:
        dict: The figures.
    """
    names = list(cfg.chain.networks)
    stages: Dict[str, Dict[str, List[float]]] = {
        name: {
            way: []
            for way in WAYS
        }
        for name in names
    }
    loaders = None
    teachers: Dict[str, Any] = {}
    for number in range(args.rounds):
        store = osp.join(folder, f'store{number}')
        for name in names:
            cases = {}
            for way in WAYS if name != names[0] else WAYS[:1]:
                guidance = 'none' if way == 'alone' else 'dense'
                stage = stage_of(cfg, args, name, guidance, folder)
                if loaders is None:
                    loaders = _chain_loaders(cfg, stage, args)
                stage = _way_config(cfg, args, stage, way, store)
                _share_teachers(stage, teachers, folder)
                cases[way] = Case(
                    f'{name}_{way}', stage, loaders, folder, warm_up=0)
            if number == 0:  # the first run is slower
                cases['alone'].run()
            # In turns: within a round, too, the first may be slower.
            order = list(cases) if number % 2 == 0 else list(cases)[::-1]
            for way in order:
                stages[name][way].append(cases[way].run())
        print(f'round {number + 1} of {args.rounds}', flush=True)
    for name in names:
        for way in WAYS[1:]:
            stages[name][way] = stages[name][way] or stages[name]['alone']
    return dict(
        images=args.images,
        epochs=args.epochs,
        stages=stages,
        chains=_chains(stages))


def _way_config(cfg: Any, args: argparse.Namespace, stage: Any, way: str,
                store: str) -> Any:
    """Make a stage validate, with the teachers of one of the ``WAYS``."""
    stage.train_cfg.max_epochs = args.epochs
    stage.val_dataloader = {}
    stage.val_cfg = dict()
    stage.val_evaluator = cfg.val_evaluator
    if way == 'stored':
        return case_config(stage, way, store)
    if way == 'live':
        with_drop(stage.model.distiller, False)
    return stage


def _chains(stages: Dict[str, Dict[str, List[float]]]) -> List[Dict]:
    """The times of the chains of the first 2, 3, ... stages."""
    chains, names = [], list(stages)
    for length in range(2, len(names) + 1):
        total = {
            way: sum(median(stages[name][way]) for name in names[:length])
            for way in WAYS
        }
        chains.append(
            dict(
                networks=length,
                alone_s=total['alone'],
                stored_s=total['stored'],
                live_s=total['live'],
                stored_ratio=total['stored'] / total['alone'],
                live_ratio=total['live'] / total['alone'],
                stored_guidance_s=total['stored'] - total['alone'],
                live_guidance_s=total['live'] - total['alone']))
    return chains


def _chain_loaders(cfg: Any, stage: Any,
                   args: argparse.Namespace) -> Tuple[Any, Any]:
    """Build loaders of some images, with a fifth for validation."""
    train, val = stage.train_dataloader, copy.deepcopy(cfg.val_dataloader)
    inner = train.dataset.get('dataset', train.dataset)
    inner.indices = args.images
    val.dataset.indices = max(args.images // 5, 1)
    val.batch_size = min(val.batch_size, val.dataset.indices)
    return (Runner.build_dataloader(train, seed=0),
            Runner.build_dataloader(val, seed=0))


def _share_teachers(stage: Any, files: Dict[str, str], folder: str) -> None:
    """Give each teacher the same weights in all stages."""
    for name, teacher in (stage.model.get('teachers') or {}).items():
        if name not in files:
            model = MODELS.build(copy.deepcopy(teacher.build_cfg))
            files[name] = osp.join(folder, f'{name}.pth')
            torch.save(model.state_dict(), files[name])
        teacher.ckpt_path = files[name]


def chain_table(figures: Dict) -> str:
    """Draw the figures of a chain as a table.

    Args:
        figures (dict): See :func:`time_chain`.
    """
    rows = [(chain['networks'], f'{chain["alone_s"]:.1f}',
             f'{chain["stored_s"]:.1f}', f'{chain["stored_ratio"]:.2f}',
             f'{chain["stored_guidance_s"]:.1f}', f'{chain["live_s"]:.1f}',
             f'{chain["live_ratio"]:.2f}', f'{chain["live_guidance_s"]:.1f}')
            for chain in figures['chains']]
    return draw_table(('networks', 'alone s', 'with store s', '/ alone',
                       'guidance s', 'live s', '/ alone', 'guidance s'), rows)
