# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
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
from mmdgkd.models.utils.weights import check_weights
from mmdgkd.structures.views import BatchViews, SampleList, ViewSource
from mmdgkd.utils.config import type_of
from mmdgkd.utils.distributed import fit_to_device
from mmdgkd.utils.random import seed_all, step_seed
from .bad_step import terms_of
from .step_guard import StepGuard


def replay(dump: str, config: Optional[str] = None) -> Dict[str, Any]:
    """Repeat a step from its dump: the forward with its losses, the backward.

    Args:
        dump (str): The dump.
        config (str, optional): The config of the stage. Defaults to None:
            ``config.py`` in the folder of the stage.

    Returns:
        dict: ``terms``, the losses by name; ``dumped``, those of the training;
        ``bad_gradients``, the parameters whose gradient is not finite.

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
    device = get_device()
    with DefaultScope.overwrite_default_scope(
            cfg.get('default_scope', 'mmpretrain')), \
            tempfile.TemporaryDirectory() as folder:
        model = MODELS.build(cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        _prepare(model, cfg, folder)
        weights = facts.get('state_dict') or {}
        check_weights(model, weights, dump, 'dump')
        model.load_state_dict(weights)
        hold_structure(model)
        model.to(device).train()
        _set_clock(facts, f'replay {osp.abspath(dump)}')
        guard = StepGuard(model, [], 0)
        guard.begin(facts['iter'], facts['epoch'])
        with wrapper.optim_context(model):
            losses = model(
                inputs=facts['inputs'].to(device),
                data_samples=_samples(facts, device),
                mode='loss')
            total, _ = model.parse_losses(losses)
        if total.requires_grad:
            total.backward()
    return dict(
        terms=terms_of(guard.end(True).forwards[-1]),
        dumped=facts['terms'],
        bad_gradients=[
            name for name, parameter in model.named_parameters()
            if parameter.grad is not None
            and not torch.isfinite(parameter.grad).all()
        ])


def _set_clock(facts: Dict, name: str) -> None:
    """Set the step for the model, and all generators."""
    hub = MessageHub.get_instance(name)
    hub.update_info('loop_stage', 'train')
    for key in ('iter', 'rank', 'seed'):
        hub.update_info(key, facts[key])
    seed_all(
        step_seed(facts['seed'], facts['iter'], facts['rank']), device=True)
    torch.set_rng_state(facts['rng_state'])
    if facts.get('device_rng_state') is not None and get_device() != 'cpu':
        torch.cuda.set_rng_state(facts['device_rng_state'])


def _prepare(model: Any, cfg: Config, folder: str) -> None:
    """Run the network and its teachers as in the training."""
    for hook in cfg.get('custom_hooks') or ():
        if type_of(hook) == 'FastNetworkHook' and hook.get(
                'channels_last', True):
            network_of(model).to(memory_format=torch.channels_last)
        if type_of(hook) == 'LogitStoreHook':
            # Cached logits are rounded; a new store rounds them alike.
            options = {
                key: hook[key]
                for key in ('dtype', 'top_k', 'others') if key in hook
            }
            model.use_store(LogitStore(folder, **options))


def _samples(facts: Dict, device: str) -> List[DataSample]:
    samples = []
    for label in facts['labels']:
        sample = DataSample()
        for key, value in label.items():
            getattr(sample, f'set_{key}')(value)
        samples.append(sample.to(device))
    if facts['views'] is None:
        return samples
    views = BatchViews(
        ViewSource(**facts['view_source']), np.array(facts['views']),
        np.array(facts['indices']))
    return SampleList(samples, views)
