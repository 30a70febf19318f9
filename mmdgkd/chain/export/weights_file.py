# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The trained network alone, as a file that MMPretrain loads."""
from typing import Any, Dict, Mapping

from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint, write_weights
from mmdgkd.models.utils.weights import check_weights, network_weights
from mmdgkd.version import __version__


def export_network(checkpoint_file: str, model: nn.Module, path: str,
                   meta: Dict[str, Any], unit: str, step: int) -> None:
    """Write the trained network alone: a state dict and plain facts.

    Args:
        checkpoint_file (str): The last checkpoint of the stage.
        model (nn.Module): The network, on the CPU. What its ``state_dict``
            gives is written.
        path (str): The file to write, ``<network>.pth`` or
            ``<network>.safetensors``.
        meta (dict): Entries of its ``meta``, of plain types.
        unit (str): The unit of the training, ``'epoch'`` or ``'iter'``.
        step (int): The last one of the training.

    Raises:
        ConfigError: If the checkpoint does not hold this network, or not as
            it was at the end of the training.
    """
    checkpoint = read_checkpoint(checkpoint_file, 'work_dir')
    weights = check_weights(
        model, network_weights(checkpoint, checkpoint_file, 'work_dir', model),
        checkpoint_file, 'work_dir')
    saved = checkpoint.get('meta', {})
    if saved.get(unit) != step:
        raise ConfigError(
            f'default_hooks.checkpoint: the last checkpoint, '
            f'{checkpoint_file!r}, is of {unit} {saved.get(unit)} and not of '
            f'the last one, {step}; leave save_last on')
    # Not in the memory format of the training.
    weights = {key: data.contiguous() for key, data in weights.items()}
    write_weights(path, weights, dict(meta, **facts_of(saved)))


def facts_of(saved: Mapping[str, Any]) -> Dict[str, Any]:
    """What the file of a network has of the meta of a checkpoint.

    Args:
        saved (Mapping): The meta of the checkpoint.

    Returns:
        dict[str, Any]: Of plain types.
    """
    dataset_meta = {
        key: list(value)
        for key, value in (saved.get('dataset_meta') or {}).items()
        if isinstance(value, (list, tuple))
    }
    return dict(
        epoch=int(saved.get('epoch', 0)),
        iter=int(saved.get('iter', 0)),
        seed=saved.get('seed'),
        mmdgkd_version=__version__,
        dataset_meta=dataset_meta)
