# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The state of a training that differs between ranks.

In the middle of an epoch each rank has its own BN statistics, and its own
gradients if they are accumulated.
"""
from typing import Any, Dict, List

import torch
from mmengine.dist import (all_gather_object, gather_object, get_rank,
                           get_world_size)
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapperDict
from torch import nn

from mmdgkd.engine.optim.joint_optim_wrapper_dict import JointOptimWrapperDict
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.models.utils.weights import weights_sha256


def collect_rank_states(runner: Any) -> List[Dict]:
    """Collect the state of each rank; to be called on all ranks.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        list[dict]: By rank, on the first one: the buffers that differ, and
        gradients that wait. Empty elsewhere, or if there are neither.
    """
    mine: Dict[str, Any] = dict(grads=_waiting_gradients(runner))
    if get_world_size() == 1:
        return [mine] if mine['grads'] else []
    modules = [dict(module.named_buffers()) for module in _modules(runner)]
    hashes = [{
        name: weights_sha256({name: buffer})
        for name, buffer in buffers.items()
    } for buffers in modules]
    found = all_gather_object((bool(mine['grads']), hashes))
    # Such as batch normalization; a memory bank, which can have a hundred
    # megabytes, is the same on all.
    differ = [{
        name
        for name in buffers if any(other[part].get(name) != buffers[name]
                                   for _, other in found)
    } for part, buffers in enumerate(hashes)]
    if not any(differ) and not any(waits for waits, _ in found):
        return []
    mine['buffers'] = [{
        name: buffers[name].cpu()
        for name in sorted(names)
    } for buffers, names in zip(modules, differ)]
    return gather_object(mine) or []


def restore_rank_state(runner: Any, states: List[Dict]) -> None:
    """Restore the state of this rank.

    A run with another number of ranks goes on with the buffers of the first
    one; accumulated gradients are lost, as in MMEngine.

    Args:
        runner (Runner): The runner of the training process.
        states (list[dict]): The result of :func:`collect_rank_states`.

    Raises:
        ConfigError: If it is of another model.
    """
    if not _are_states(states):
        raise ConfigError('work_dir: "ranks" in the checkpoint is no state of '
                          'processes')
    if len(states) != get_world_size():
        return
    state = states[get_rank()]
    for module, saved in zip(_modules(runner), state.get('buffers', [])):
        for name, buffer in module.named_buffers():
            if name in saved:
                _fill(buffer, saved[name], name)
    grads = state.get('grads') or {}
    for name, parameter in runner.model.named_parameters():
        if name in grads:
            parameter.grad = torch.empty_like(parameter)
            _fill(parameter.grad, grads[name], name)


def _are_states(states: Any) -> bool:
    """Whether it has the form of :func:`collect_rank_states`."""
    return isinstance(states, list) and all(
        isinstance(state, dict) and isinstance(state.get('buffers', []), list)
        and all(
            isinstance(part, dict) and all(
                isinstance(data, torch.Tensor) for data in part.values())
            for part in (state.get('grads') or {}, *state.get('buffers', [])))
        for state in states)


def _fill(data: torch.Tensor, saved: torch.Tensor, name: str) -> None:
    if data.shape != saved.shape:
        raise ConfigError(f'work_dir: {name} of a rank in the checkpoint is '
                          f'{tuple(saved.shape)}, not {tuple(data.shape)}')
    data.copy_(saved)


def _modules(runner: Any) -> List[nn.Module]:
    """The model, and its moving averages."""
    model = runner.model
    averages = [
        hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)
    ]
    return [unwrapped(model), *averages]


def _waiting_gradients(runner: Any) -> Dict[str, torch.Tensor]:
    """The gradients that are accumulated but not applied, by name."""
    wrapper = runner.optim_wrapper
    # With MMEngine's own dict the algorithm decides when each one steps.
    by_itself = (
        isinstance(wrapper, OptimWrapperDict)
        and not isinstance(wrapper, JointOptimWrapperDict))
    if by_itself or wrapper.should_update():
        return {}
    return {
        name: parameter.grad.cpu()
        for name, parameter in runner.model.named_parameters()
        if parameter.grad is not None
    }
