# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import hashlib
from typing import Dict, Iterable, Mapping, Optional

import torch
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint

# In the checkpoint of an MMRazor algorithm the network is its architecture.
_PREFIX = 'architecture.'


def network_weights(
        checkpoint: Dict,
        path: str,
        key: str,
        model: Optional[nn.Module] = None) -> Dict[str, torch.Tensor]:
    """The weights of the network alone, out of a checkpoint.

    Args:
        checkpoint (dict): What a checkpoint file holds: a bare state dict, a
            checkpoint of MMPretrain or MMEngine, or the checkpoint of an
            MMRazor algorithm, whose network is its ``architecture``.
        path (str): Its file, for messages.
        key (str): The config key that names it, for messages.
        model (nn.Module, optional): The model to load them into.
            Defaults to None: a plain network.

    Returns:
        dict[str, torch.Tensor]: The state dict of the network.

    Raises:
        ConfigError: If it is none of these, or of a pruned network: its
            weights without the masks are another network.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, dict) or not state or not all(
            isinstance(data, torch.Tensor) for data in state.values()):
        raise ConfigError(
            f'{key}: {path!r} holds no state dict, neither by itself nor '
            'under "state_dict"; it has: '
            f'{", ".join(map(str, checkpoint)) or "nothing"}')
    state = {key.removeprefix('module.'): data for key, data in state.items()}
    surplus = _depth(state)
    if model is not None:
        surplus -= _depth(model.state_dict())
    prefix = _PREFIX * max(surplus, 0)
    for name, data in state.items():
        if not name.startswith(prefix) and name.endswith(
                '.mask') and not data.all():
            raise ConfigError(
                f'{key}: {path!r} is of a network that was pruned; the '
                'network that begins from it is not')
    return {
        key.removeprefix(prefix): data
        for key, data in state.items() if key.startswith(prefix)
    }


def _depth(state: Iterable[str]) -> int:
    """The number of algorithms around the innermost network."""
    depth = 0
    while any(key.startswith(_PREFIX * (depth + 1)) for key in state):
        depth += 1
    return depth


def check_weights(model: nn.Module, weights: Dict[str, torch.Tensor],
                  path: str, key: str) -> None:
    """Check that weights fit a network, name by name and shape by shape.

    Args:
        model (nn.Module): The network; it may be on the meta device.
        weights (dict[str, torch.Tensor]): The state dict to load into it.
        path (str): Its file, for messages.
        key (str): The config key that names it, for messages.

    Raises:
        ConfigError: If they are those of another architecture, or of the same
            one with another number of classes.
    """
    wanted = {
        name: tuple(x.shape)
        for name, x in model.state_dict().items()
        # Not the extra state of a module, which may be anything.
        if isinstance(x, torch.Tensor)
    }
    found = {name: tuple(x.shape) for name, x in weights.items()}
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    differ = [
        # The range of a quantizer without data takes any size.
        name for name in wanted
        if name in found and found[name] != wanted[name] and wanted[name] != (
            0, )
    ]
    if not (missing or surplus or differ):
        return
    if differ and not (missing or surplus) and all(
            name.startswith('head.') for name in differ):
        name = differ[0]
        raise ConfigError(
            f'{key}: {path!r} has {found[name][0]} classes, the network has '
            f'{wanted[name][0]} ({name} is {found[name]}, not {wanted[name]})')
    if missing:
        what = f'{missing[0]} is missing'
    elif surplus:
        what = f'{surplus[0]} is unknown'
    else:
        what = f'{differ[0]} is {found[differ[0]]}, not {wanted[differ[0]]}'
    count = len(missing) + len(surplus) + len(differ)
    raise ConfigError(f'{key}: {path!r} is of another architecture: {what}'
                      f'{f" ({count} such differences)" if count > 1 else ""}')


def load_weights(model: nn.Module, path: str, key: str) -> Dict:
    """Load the weights of a network strictly.

    Args:
        model (nn.Module): The network.
        path (str): The checkpoint, see :func:`network_weights`.
        key (str): The config key that names it, for messages.

    Returns:
        dict: The whole checkpoint.

    Raises:
        ConfigError: If the file is missing, unreadable or does not fit.
    """
    checkpoint = read_checkpoint(path, key)
    weights = network_weights(checkpoint, path, key, model)
    check_weights(model, weights, path, key)
    model.load_state_dict(weights, strict=True)
    return checkpoint


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of weights by name, shape, type and value.

    Unlike that of their file it does not depend on metadata.

    Args:
        weights (Mapping[str, torch.Tensor]): A state dict.

    Returns:
        str: In hex; empty if they are on the meta device.
    """
    digest = hashlib.sha256()
    for name, data in sorted(weights.items()):
        if data.is_meta:
            return ''
        digest.update(f'{name} {data.dtype} {tuple(data.shape)}'.encode())
        # As bytes: NumPy has no bfloat16.
        data = data.detach().cpu().contiguous().reshape(-1)
        digest.update(data.view(torch.uint8).numpy())
    return digest.hexdigest()
