# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repeating a step from its dump."""
import os.path as osp
import tempfile
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.models.utils.networks import hold_structure, network_of
from mmdgkd.structures.views import BatchViews, SampleList, ViewSource
from mmdgkd.utils.distributed import fit_to_device
from mmdgkd.utils.random import seed_all, step_seed


def replay(dump: str, config: Optional[str] = None) -> Dict[str, Any]:
    """Repeat a step: the forward with its losses, and the backward.

    Args:
        dump (str): What was dumped.
        config (str, optional): The config of the stage. Defaults to None:
            ``config.py`` in the folder of the stage.

    Returns:
        dict: ``terms``, the losses by name; ``dumped``, what they were; and
        ``bad_gradients``, the names of parameters whose gradient is not
        finite.

    Raises:
        ConfigError: If one of the files is missing or does not fit.
    """
    facts = read_checkpoint(dump, 'dump')
    if facts.get('inputs') is None or 'rng_state' not in facts:
        raise ConfigError(f'dump: {dump!r} holds no images of a step, so that '
                          'there is nothing to repeat')
    config = config or osp.join(
        osp.dirname(osp.dirname(osp.abspath(dump))), 'config.py')
    if not osp.isfile(config):
        raise ConfigError(f'--config: there is no file {config!r}; name the '
                          'config of the stage')
    cfg = Config.fromfile(config)
    fit_to_device(cfg)
    with DefaultScope.overwrite_default_scope(
            cfg.get('default_scope', 'mmpretrain')), \
            tempfile.TemporaryDirectory() as folder:
        model = MODELS.build(cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        _prepare(model, cfg, folder)
        model.load_state_dict(facts['state_dict'])
        hold_structure(model)
        device = get_device()
        model.to(device).train()
        hub = MessageHub.get_instance(f'replay {osp.abspath(dump)}')
        for key, value in dict(
                loop_stage='train',
                iter=facts['iter'],
                rank=facts['rank'],
                seed=facts['seed']).items():
            hub.update_info(key, value)
        seed = step_seed(facts['seed'], facts['iter'], facts['rank'])
        seed_all(seed, device=True)
        torch.set_rng_state(facts['rng_state'])
        if facts.get('device_rng_state') is not None and device != 'cpu':
            torch.cuda.set_rng_state(facts['device_rng_state'])
        samples = _samples(facts, device)
        with wrapper.optim_context(model):
            losses = model(facts['inputs'].to(device), samples, mode='loss')
            total, _ = model.parse_losses(losses)
        if total.requires_grad:
            total.backward()
    return dict(
        terms={
            name:
            sum(float(item.sum()) for item in value) if isinstance(
                value, (list, tuple)) else float(value.float().sum())
            for name, value in losses.items()
        },
        dumped=facts['terms'],
        bad_gradients=[
            name for name, parameter in model.named_parameters()
            if parameter.grad is not None
            and not torch.isfinite(parameter.grad).all()
        ])


def _prepare(model: Any, cfg: Config, folder: str) -> None:
    """Run the network and its teachers as in the training."""
    for hook in cfg.get('custom_hooks') or ():
        kind = str(hook.get('type')).split('.')[-1]
        if kind == 'FastNetworkHook' and hook.get('channels_last', True):
            network_of(model).to(memory_format=torch.channels_last)
        if kind == 'LogitStoreHook':
            # What is remembered is rounded; in another store alike.
            options = {
                key: value
                for key, value in hook.items() if key in ('dtype', 'top_k')
            }
            model.use_store(LogitStore(folder, **options))


def _samples(facts: Dict, device: str) -> List[DataSample]:
    samples = []
    for label in facts['labels']:
        sample = DataSample()
        if 'gt_label' in label:
            sample.set_gt_label(label['gt_label'])
        if 'gt_score' in label:
            sample.set_gt_score(label['gt_score'])
        samples.append(sample.to(device))
    if facts['views'] is None:
        return samples
    views = BatchViews(
        ViewSource(**facts['view_source']), np.array(facts['views']),
        np.array(facts['indices']))
    return SampleList(samples, views)
