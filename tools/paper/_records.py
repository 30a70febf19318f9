# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The record of a trained network."""
import os.path as osp
from typing import Any, Dict, Sequence

import numpy as np
import torch
from _experiments import Run, Setting
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from results.record import Record
from results.record_check import pack_errors

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.stage_config import network_config
from mmdgkd.models.utils.weights import load_weights
from mmdgkd.report.methods import METHOD_STYLES


def wrong_images(cfg: Any, name: str, path: str) -> np.ndarray:
    """Classify every test image with one network of a chain.

    Args:
        cfg (Config): The config of the chain.
        name (str): The network.
        path (str): The file of its weights.

    Returns:
        np.ndarray: Booleans, one per test image, in the order of the data.
    """
    alone = network_config(cfg, Chain.from_cfg(cfg.chain)[name])
    with DefaultScope.overwrite_default_scope(alone.default_scope):
        model = MODELS.build(alone.model)
        loader = Runner.build_dataloader(alone.test_dataloader)
    load_weights(model, path, 'checkpoint')
    # As in training: another rounding may change the result of an image.
    model.to(get_device(), memory_format=torch.channels_last).eval()
    wrong = []
    with torch.no_grad():
        for batch in loader:
            wrong += [
                int(sample.pred_label) != int(sample.gt_label)
                for sample in model.test_step(batch)
            ]
    return np.array(wrong)


def record_of(setting: Setting, names: Sequence[str], run: Run, entry: Dict,
              cfg: Any, stage: Any, path: str) -> Record:
    """The record of one trained network.

    Args:
        setting (Setting): Its setting.
        names (Sequence[str]): All networks of the chain.
        run (Run): The run that has trained it.
        entry (dict): Its stage in the ledger.
        cfg (Config): The config of the run.
        stage (Config): The config of the stage.
        path (str): The file of its weights.

    Returns:
        Record: With the test images that it gets wrong.
    """
    name = osp.basename(osp.dirname(path))
    metric, teachers = entry['metric'], entry['guides']
    # Where it was trained, which need not be where this is written.
    there = entry['environment']
    loss = stage.model.get('distiller', {}).get('distill_losses',
                                                {}).get('loss_kd', {})
    objective = {
        key: loss.get(key)
        for key in ('tau', 'reduction', 'form', 'loss_weight')
    }
    objective['task_loss_weight'] = stage.model.get('task_loss_weight')
    weight = 1.0 if setting.averaged else float(len(teachers))
    if name == names[-1]:
        weight = run.kd_weight
    return Record(
        version=1,
        dataset=setting.dataset,
        networks=list(names),
        recipe=setting.recipe,
        augmentation=setting.augmentation,
        method=run.method,
        variant=run.variant,
        guidance=METHOD_STYLES[run.method].guidance,
        guides=teachers,
        network=name,
        seed=run.seed,
        epochs=stage.train_cfg.max_epochs,
        metric=metric['name'],
        best=round(metric['best'], 4),
        best_at=metric['best_at'],
        last=round(metric['last'], 4),
        history=[[step, round(value, 4)] for step, value in metric['history']],
        seconds=entry['seconds'],
        kd_weight=weight if teachers else None,
        objective=objective if teachers else None,
        wrong=pack_errors(wrong_images(cfg, name, path)),
        sha256=entry['wrote']['sha256'],
        guide_sha256={
            teacher: file['sha256']
            for teacher, file in entry['read'].items()
        },
        versions=dict(there['versions'], device=there['device']))
