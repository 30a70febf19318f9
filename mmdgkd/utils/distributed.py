# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Several processes, on accelerators or the CPU."""
from typing import Any, Mapping

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, init_dist, is_distributed

from mmdgkd.errors import ConfigError


def start_processes(launcher: str, env_cfg: Mapping[str, Any]) -> None:
    """Initialize the process group, before anything reads the rank.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        env_cfg (Mapping): The ``env_cfg`` of the config.

    Raises:
        ConfigError: For another launcher than pytorch on the CPU.
    """
    if launcher == 'none' or is_distributed():
        return
    if get_device() != 'cpu':
        init_dist(launcher, **env_cfg.get('dist_cfg', {}))
    elif launcher == 'pytorch':
        # MMEngine's own launcher calls torch.cuda.set_device.
        torch.distributed.init_process_group('gloo')
    else:
        raise ConfigError(f'--launcher {launcher}: needs GPUs; on the CPU use '
                          'tools/dist_train.sh, whose launcher is pytorch')


def end_processes() -> None:
    """Wait for the other processes and destroy the group.

    The C++ runtime may abort a process that exits while the threads of its
    group still run.
    """
    if is_distributed():
        barrier()
        torch.distributed.destroy_process_group()


def fit_to_device(cfg: Config) -> None:
    """Adapt a config to the machine.

    Args:
        cfg (Config): The config of a stage; it is changed.
    """
    if cfg.get('launcher', 'none') != 'none' and get_device() == 'cpu':
        # MMEngine would hand DDP the number of a GPU.
        wrapper = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False))
        wrapper.update(cfg.get('model_wrapper_cfg') or {})
        cfg.model_wrapper_cfg = wrapper
    optim_wrapper = cfg.get('optim_wrapper') or {}
    kind = str(optim_wrapper.get('type', ''))
    if kind.split('.')[-1] == 'AmpOptimWrapper' and get_device() == 'cpu':
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(key, None)
        optim_wrapper['type'] = 'mmrazor.CPUAmpOptimWrapper'
