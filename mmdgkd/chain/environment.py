# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Versions and device of a training, for the ledger."""
import contextlib
import platform
from typing import Any, Dict

import mmengine
import mmpretrain
import mmrazor
import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size

from mmdgkd.version import __version__


def environment() -> Dict[str, Any]:
    """The versions, the device and the number of processes.

    Returns:
        dict[str, Any]: ``versions`` by package, ``device``, its name, and
        ``processes``; values that JSON can hold.
    """
    return dict(
        versions=dict(
            python=platform.python_version(),
            torch=torch.__version__,
            mmengine=mmengine.__version__,
            mmpretrain=mmpretrain.__version__,
            mmrazor=mmrazor.__version__,
            mmdgkd=__version__),
        device=device_name(),
        processes=get_world_size())


def device_name() -> str:
    """The name of the device that MMEngine trains on."""
    kind = get_device()
    if kind == 'cuda':
        return torch.cuda.get_device_name()
    return cpu_name() if kind == 'cpu' else kind


def cpu_name() -> str:
    """The name of the processor, with PyTorch's number of threads."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open('/proc/cpuinfo') as file:
        for line in file:
            if line.startswith('model name'):
                name = line.split(':', 1)[1].strip()
                break
    threads = torch.get_num_threads()
    return f'CPU: {name}, {threads} thread{"s" if threads > 1 else ""}'
