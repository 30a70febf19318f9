# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The trained network alone, as a file that MMPretrain loads."""
import os
import os.path as osp
import re
from typing import Any, Dict, Optional

import torch
from mmengine.config import Config
from torch import nn

from mmdgkd.models.utils import check_weights, network_weights, read_checkpoint
from mmdgkd.version import __version__
from .files import whole_file


def latest_checkpoint(stage_dir: str) -> Optional[str]:
    """The checkpoint from which a stage goes on.

    MMEngine notes its absolute path; the folder may have moved since, and a
    kill may have left the note empty. Then it is the one of the latest step.

    Args:
        stage_dir (str): The folder of the stage.

    Returns:
        str, optional: None if there is none.
    """
    note = osp.join(stage_dir, 'last_checkpoint')
    if osp.exists(note):
        with open(note) as file:
            path = osp.join(stage_dir, osp.basename(file.read().strip()))
        if osp.isfile(path):
            return path
    names = os.listdir(stage_dir) if osp.isdir(stage_dir) else []
    steps = [(int(found[1]), osp.join(stage_dir, found[0]))
             for found in (re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', name)
                           for name in names) if found]
    return max(steps)[1] if steps else None


def export_network(checkpoint_file: str, model: nn.Module, alone: Config,
                   path: str, meta: Dict[str, Any]) -> None:
    """Write the trained network alone: a state dict and plain facts.

    Args:
        checkpoint_file (str): The last checkpoint of the stage.
        model (nn.Module): The network, on whatever device, to check against.
        alone (Config): The config of the network alone, written beside.
        path (str): The file to write, ``<network>.pth``.
        meta (dict): Facts for its ``meta``, of plain types.

    Raises:
        ConfigError: If the checkpoint does not hold this network.
    """
    checkpoint = read_checkpoint(checkpoint_file, 'work_dir')
    weights = network_weights(checkpoint)
    check_weights(model, weights, checkpoint_file, 'work_dir')
    saved = checkpoint.get('meta', {})
    dataset_meta = {
        key: list(value)
        for key, value in (saved.get('dataset_meta') or {}).items()
        if isinstance(value, (list, tuple))
    }
    facts = dict(
        meta,
        epoch=int(saved.get('epoch', 0)),
        iter=int(saved.get('iter', 0)),
        seed=saved.get('seed'),
        mmdgkd_version=__version__,
        dataset_meta=dataset_meta)
    with whole_file(path, 'wb') as file:
        torch.save(dict(state_dict=weights, meta=facts), file)
    with whole_file(osp.splitext(path)[0] + '.py') as file:
        file.write(alone.pretty_text)
