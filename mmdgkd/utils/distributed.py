# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Several processes, on accelerators or the CPU."""
import os
from datetime import timedelta
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, get_world_size, init_dist, is_distributed
from torch.distributed import PrefixStore

from mmdgkd.errors import ConfigError
from .peers import PeerWatch, client, launcher_has_store, restarts

# Seconds after which a process without a heartbeat ends the others.
_PEER_TIMEOUT = 120
# As PyTorch's for collectives: another machine may notice later.
_STORE_TIMEOUT = 1800
_watch: Optional[PeerWatch] = None


def start_processes(launcher: str, env_cfg: Mapping[str, Any]) -> None:
    """Initialize the process group, before anything reads the rank.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        env_cfg (Mapping): The ``env_cfg`` of the config. ``peer_timeout`` is
            the number of seconds after which a process without a heartbeat
            ends the others, by default 120; None: never.

    Raises:
        ConfigError: For another launcher than pytorch on the CPU, or a
            ``peer_timeout`` that is not positive.
    """
    global _watch
    seconds = env_cfg.get('peer_timeout', _PEER_TIMEOUT)
    if seconds is not None and not seconds > 0:
        raise ConfigError(f'env_cfg.peer_timeout: {seconds} must be a positive'
                          ' number of seconds, or None')
    if launcher == 'none' or is_distributed():
        return
    options = dict(env_cfg.get('dist_cfg') or {})
    if launcher == 'pytorch' and launcher_has_store() and restarts():
        # torchrun's has the addresses of the processes that have ended.
        options['store'] = PrefixStore(f'restart_{restarts()}',
                                       client(_STORE_TIMEOUT))
        if get_device() == 'cuda':
            options.update(_ranks())
    if get_device() != 'cpu':
        init_dist(launcher, **options)
    elif launcher == 'pytorch':
        # MMEngine's own launcher calls torch.cuda.set_device.
        torch.distributed.init_process_group('gloo', **_ranks(),
                                             **_of_cpu(options))
    else:
        raise ConfigError(f'--launcher {launcher}: needs GPUs; on the CPU use '
                          'tools/dist_train.sh, whose launcher is pytorch')
    if seconds is not None and get_world_size() > 1:
        _watch = PeerWatch(seconds)
        _watch.start()


def _ranks() -> Dict[str, int]:
    return dict(
        rank=int(os.environ['RANK']), world_size=int(os.environ['WORLD_SIZE']))


def _of_cpu(options: Mapping[str, Any]) -> Dict[str, Any]:
    found = dict(store=options.get('store'))
    if options.get('timeout') is not None:
        found['timeout'] = timedelta(seconds=options['timeout'])
    return found


def end_processes() -> None:
    """Wait for the other processes and destroy the group.

    The C++ runtime may abort a process that exits while the threads of its
    group still run.
    """
    if is_distributed():
        barrier()
        if _watch is not None:
            _watch.end()
        torch.distributed.destroy_process_group()


def note_failure(code: int) -> None:
    """Tell the other processes that this one fails.

    Args:
        code (int): Its exit code.
    """
    if _watch is not None:
        _watch.end(code)


def failure_of_peer() -> Optional[Tuple[int, int]]:
    """The rank and the exit code of a process that has failed, if any."""
    return None if _watch is None else _watch.failure()


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
