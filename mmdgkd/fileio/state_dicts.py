# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""State dicts in files as users have them: under which key, which names."""
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import torch

from mmdgkd.errors import ConfigError

# In the checkpoint of an MMRazor algorithm the network is its architecture.
_ARCHITECTURE = 'architecture.'
# What DDP, Lightning and other distillers put in front of all names.
_PREFIXES = ('module.', 'model.', 'teacher.')
# torch.compile puts it in front of those of each module that it compiles.
_COMPILED = '_orig_mod.'
# Beside the network in the averaged models of PyTorch and MMEngine.
_COUNTERS = ('n_averaged', 'steps')
# Where a file may keep its state dict, in this order.
_ENTRIES = ('state_dict', 'model_state_dict', 'model', 'net')


class Form(NamedTuple):
    """A state dict under changed names.

    Attributes:
        state (dict[str, torch.Tensor]): The state dict.
        changes (tuple[str]): What was changed, for the log. Defaults to ().
        pruned (bool): Whether masks that prune something were left out.
            Defaults to False.
    """

    state: Dict[str, torch.Tensor]
    changes: Tuple[str, ...] = ()
    pruned: bool = False


def state_dict_of(checkpoint: Dict,
                  path: str,
                  key: str,
                  entry: Optional[str] = None) -> Dict[str, torch.Tensor]:
    """The state dict in a checkpoint.

    Args:
        checkpoint (dict): A bare state dict; or a dict that has one under
            ``state_dict``, ``model_state_dict``, ``model`` or ``net``, or a
            single one under any other key.
        path (str): Its file, for messages.
        key (str): The config key that names it, for messages.
        entry (str, optional): The key of the state dict, such as
            ``'model_ema'``. Defaults to None: one of the above.

    Returns:
        dict[str, torch.Tensor]: Under the names of the file.

    Raises:
        ConfigError: If there is none, or if there are several others.
    """
    held = [name for name in checkpoint if _is_state(checkpoint[name])]
    listed = ', '.join(map(str, held))
    if entry is not None:
        if entry not in held:
            raise ConfigError(
                f'{key.removesuffix("ckpt_path")}ckpt_key: {entry!r} is no '
                f'state dict in {path!r}; there are: {listed or "none"}')
        return checkpoint[entry]
    for name in (*_ENTRIES, *(held if len(held) == 1 else ())):
        if name in held:
            return checkpoint[name]
    if _is_state(checkpoint):
        return checkpoint
    if held:
        raise ConfigError(f'{key}: {path!r} holds several state dicts; name '
                          f'one by ckpt_key: {listed}')
    raise ConfigError(
        f'{key}: {path!r} holds no state dict, neither by itself nor under a '
        'key such as "state_dict"; it has: '
        f'{", ".join(map(str, checkpoint)) or "nothing"}')


def forms_of(state: Dict[str, torch.Tensor]) -> Iterator[Form]:
    """A state dict, and then less one prefix after the other.

    Prefixes are ``module.``, ``model.`` and ``teacher.`` of all names,
    ``_orig_mod.`` anywhere, and the ``architecture.`` of an algorithm, where
    all that does not begin with it is left out. Names of torchvision's ResNets
    are also converted to those of MMPretrain.

    Args:
        state (dict[str, torch.Tensor]): The state dict.

    Yields:
        Form: The last one has no such prefix.
    """
    form: Optional[Form] = Form(dict(state))
    while form is not None:
        if {'conv1.weight', 'fc.weight'} <= form.state.keys():
            yield form._replace(
                state={
                    _mmpretrain_name(name): data
                    for name, data in form.state.items()
                },
                changes=(*form.changes, "converted torchvision's names"))
        yield form
        form = _without_prefix(form)


def all_forms(checkpoint: Dict) -> Iterator[Form]:
    """All forms of all state dicts in a checkpoint.

    Args:
        checkpoint (dict): See :func:`state_dict_of`.
    """
    for held in (checkpoint, *checkpoint.values()):
        if _is_state(held):
            yield from forms_of(held)


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(
        isinstance(name, str) and isinstance(data, torch.Tensor)
        for name, data in value.items())


def _mmpretrain_name(name: str) -> str:
    """The name that a weight of torchvision's ResNet has in MMPretrain's."""
    part = 'head' if name.startswith('fc.') else 'backbone'
    return f'{part}.{name}'


def _without_prefix(form: Form) -> Optional[Form]:
    """A state dict less the first prefix of its names; None without one."""
    state, changes, pruned = form
    if any(_COMPILED in name for name in state):
        return Form(
            {
                name.replace(_COMPILED, ''): data
                for name, data in state.items()
            }, (*changes, f'took "{_COMPILED}" off'), pruned)
    names = [name for name in state if name not in _COUNTERS]
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return Form(
                {name.removeprefix(prefix): state[name]
                 for name in names}, (*changes, f'took "{prefix}" off'),
                pruned)
    if not any(name.startswith(_ARCHITECTURE) for name in names):
        return None
    masks = [
        data for name, data in state.items()
        if name.endswith('.mask') and not name.startswith(_ARCHITECTURE)
    ]
    inner = {
        name.removeprefix(_ARCHITECTURE): data
        for name, data in state.items() if name.startswith(_ARCHITECTURE)
    }
    return Form(inner, changes, pruned
                or not all(mask.all() for mask in masks))
