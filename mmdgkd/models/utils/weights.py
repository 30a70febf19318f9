# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import hashlib
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

import torch
from mmengine.logging import print_log
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.fileio.state_dicts import Form, forms_of, state_dict_of
from .class_numbers import pick_classes


class OtherClasses(ConfigError):
    """The weights are of the same network with other classes."""


# How many names of a file and of a network an error shows.
_SHOWN = 3


def network_weights(checkpoint: Dict,
                    path: str,
                    key: str,
                    model: Optional[nn.Module] = None,
                    entry: Optional[str] = None) -> Dict[str, torch.Tensor]:
    """The weights of the network alone, out of a checkpoint.

    Where its names then are those of the model, prefixes are taken off and
    names of torchvision converted, see :func:`forms_of`; the log says so.

    Args:
        checkpoint (dict): What a checkpoint file holds, see
            :func:`state_dict_of`; in the checkpoint of an MMRazor algorithm
            the network is its ``architecture``.
        path (str): Its file, for messages.
        key (str): The config key that names it, for messages.
        model (nn.Module, optional): The model to load them into.
            Defaults to None: a plain network.
        entry (str, optional): The key of the state dict in the checkpoint.
            Defaults to None: see :func:`state_dict_of`.

    Returns:
        dict[str, torch.Tensor]: The state dict of the network.

    Raises:
        ConfigError: If there is none, or if it is of a pruned network: its
            weights without the masks are another network.
    """
    forms = list(forms_of(state_dict_of(checkpoint, path, key, entry)))
    form = forms[-1] if model is None else _fitting(forms, model)
    if form.pruned:
        raise ConfigError(
            f'{key}: {path!r} is of a network that was pruned; the '
            'network that begins from it is not')
    if form.changes:
        print_log(
            f'{key}: {", ".join(form.changes)} in the names of {path!r}',
            logger='current')
    return form.state


def check_weights(model: nn.Module, weights: Dict[str, torch.Tensor],
                  path: str, key: str) -> Dict[str, torch.Tensor]:
    """Check that weights fit a network, by loading them into a copy.

    The module judges, strictly after its own hooks: it may rename or resize
    what it loads, and counters of batches may be missing.

    Args:
        model (nn.Module): The network; on the meta device with weights that
            are there, too.
        weights (dict[str, torch.Tensor]): The state dict to load into it.
        path (str): Its file, for messages.
        key (str): The config key that names it, for messages.

    Returns:
        dict[str, torch.Tensor]: The weights as the ``state_dict`` of the
        network gives them.

    Raises:
        ConfigError: If they are those of another architecture, or of the same
            one with another number of classes.
    """
    model = copy.deepcopy(model)
    _load(model, weights, path, key)
    return dict(model.state_dict())


def load_weights(model: nn.Module,
                 path: str,
                 key: str,
                 entry: Optional[str] = None,
                 picked: Optional[Mapping[str, Any]] = None,
                 build_cfg: Any = None) -> Dict:
    """Load the weights of a network strictly.

    Args:
        model (nn.Module): The network.
        path (str): The checkpoint, see :func:`network_weights`.
        key (str): The config key that names it, for messages.
        entry (str, optional): The key of the state dict in the checkpoint.
            Defaults to None: see :func:`state_dict_of`.
        picked (Mapping, optional): Which classes of the file the network has,
            see :func:`pick_classes`. Defaults to None: those of the file.
        build_cfg (Mapping, optional): With ``picked`` the config of the
            network. Defaults to None.

    Returns:
        dict: The whole checkpoint.

    Raises:
        ConfigError: If the file is missing, unreadable or does not fit.
    """
    checkpoint = read_checkpoint(path, key)
    weights = network_weights(checkpoint, path, key, model, entry)
    if picked:
        weights = pick_classes(weights, build_cfg, picked, path, key)
    _load(model, weights, path, key)
    return checkpoint


def _fitting(forms: List[Form], model: nn.Module) -> Form:
    """The first form that a model takes, or else the one most like it."""
    wanted = _names(model.state_dict())
    for form in forms:
        if _names(form.state) == wanted:
            return form
    for form in forms:
        # By its hooks a module takes other names than it gives, too.
        if _refusal(copy.deepcopy(model), form.state) is None:
            return form
    return max(
        forms,
        key=lambda form:
        (len(wanted & _names(form.state)), -len(form.changes)))


def _names(state: Iterable[str]) -> Set[str]:
    """The names in a state dict but for counters, which may be missing."""
    return {name for name in state if not name.endswith('num_batches_tracked')}


def _refusal(model: nn.Module,
             weights: Mapping[str, torch.Tensor]) -> Optional[str]:
    """Load weights by the module's own rules; its message if it refuses."""
    try:
        # Without the versions of a file, BatchNorm sets a missing counter.
        model.load_state_dict(dict(weights), strict=True)
    except Exception as error:
        return ' '.join(str(error).split()) or type(error).__name__
    return None


def _load(model: nn.Module, weights: Mapping[str, torch.Tensor], path: str,
          key: str) -> None:
    """Load weights strictly, or raise an error that names what differs."""
    refusal = _refusal(model, weights)
    if refusal is None:
        return
    wanted, found = shapes_of(model.state_dict()), shapes_of(weights)
    missing = [name for name in wanted if name in _names(wanted) - {*found}]
    surplus = [name for name in found if name not in wanted]
    differ = [
        name for name in wanted
        # The module may have resized others.
        if found.get(name, wanted[name]) != wanted[name]
        and f'{name}: ' in refusal
    ]
    if not (missing or surplus) and _is_by_classes(differ, found, wanted):
        name = differ[0]
        raise OtherClasses(
            f'{key}: {path!r} has {found[name][0]} classes, the network has '
            f'{wanted[name][0]} ({name} is {found[name]}, not {wanted[name]})')
    if missing:
        what = f'{missing[0]} is missing'
    elif surplus:
        what = f'{surplus[0]} is unknown'
    elif differ:
        what = f'{differ[0]} is {found[differ[0]]}, not {wanted[differ[0]]}'
    else:
        raise ConfigError(
            f'{key}: {path!r} does not load into the network ({refusal})')
    count = len(missing) + len(surplus) + len(differ)
    raise ConfigError(
        f'{key}: {path!r} is of another architecture: {what}'
        f'{f" ({count} such differences)" if count > 1 else ""}; the file has '
        f'{some_shapes([*surplus, *differ, *found], found)}, the network '
        f'{some_shapes([*missing, *differ, *wanted], wanted)}')


def _is_by_classes(differ: List[str], found: Mapping[str, Tuple[int, ...]],
                   wanted: Mapping[str, Tuple[int, ...]]) -> bool:
    """Whether shapes differ as those of heads with other classes do."""
    rows = {(found[name][:1], wanted[name][:1]) for name in differ}
    return len(rows) == 1 and all(found[name][1:] == wanted[name][1:]
                                  for name in differ) or bool(differ) and all(
                                      name.startswith('head.')
                                      for name in differ)


def shapes_of(state: Mapping[str, Any]) -> Dict[str, Tuple[int, ...]]:
    """Shapes by name.

    Args:
        state (Mapping[str, Any]): A state dict.

    Returns:
        dict[str, tuple[int]]: Of the extra state of a module, which may be
        anything, an empty one.
    """
    return {
        name: tuple(data.shape) if isinstance(data, torch.Tensor) else ()
        for name, data in state.items()
    }


def some_shapes(names: List[str], shapes: Mapping[str, Tuple[int,
                                                             ...]]) -> str:
    """The first names, each once, with their shapes.

    Args:
        names (list[str]): The names, the most telling ones first.
        shapes (Mapping[str, tuple[int]]): Their shapes, for one line.
    """
    first = list(dict.fromkeys(names))[:_SHOWN]
    return ', '.join(f'{name} {shapes[name]}' for name in first) or 'nothing'


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of weights by name, shape, type and value.

    Unlike that of their file it does not depend on metadata.

    Args:
        weights (Mapping[str, torch.Tensor]): A state dict.

    Returns:
        str: In hex.
    """
    digest = hashlib.sha256()
    for name, data in sorted(weights.items()):
        digest.update(f'{name} {data.dtype} {tuple(data.shape)}'.encode())
        # As bytes: NumPy has no bfloat16.
        data = data.detach().cpu().contiguous().reshape(-1)
        digest.update(data.view(torch.uint8).numpy())
    return digest.hexdigest()
