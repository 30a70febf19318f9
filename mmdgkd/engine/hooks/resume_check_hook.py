# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether a checkpoint is of the training that goes on from it.

MMEngine loads what fits and logs the rest: weights, averages and schedules
that a checkpoint lacks would begin anew, beside an optimizer that goes on.
"""
import math
from itertools import chain
from numbers import Number
from typing import Any, Dict, List, Mapping, Optional

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.stage_checkpoints import has_position
from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.models.utils.weights import check_weights

# States of optimizers that have the shape of their weight.
_LIKE_WEIGHTS = ('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'square_avg')
_HUB = ('log_scalars', 'runtime_info', 'resumed_keys')


class ResumeCheckHook(Hook):
    """Refuses to resume from the checkpoint of another training.

    All of the state must fit, name by name and shape by shape: weights and
    their averages, optimizers, schedules. A position is kept in iterations: an
    epoch must have as many as before, so that the number of processes is
    recorded in each checkpoint. Checkpoints without it are not checked for it.

    Args:
        key (str): The config key that names the checkpoint, for messages.
            Defaults to ``'work_dir'``.
    """

    # Before the hooks that load a part of it.
    priority = 'HIGHEST'

    def __init__(self, key: str = 'work_dir') -> None:
        self.key = key

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Record the number of processes."""
        meta, loop = checkpoint['meta'], runner.train_loop
        meta['processes'] = get_world_size()
        if isinstance(loop, EpochBasedTrainLoop):
            meta['epoch_length'] = len(loop.dataloader)

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Check a checkpoint, if the training resumes from it.

        Raises:
            ConfigError: If it is of another training, or has a part less.
        """
        if not runner._resume:
            return
        path = runner._load_from
        check_state(runner, checkpoint, path, self.key)
        check_processes(runner.train_loop, checkpoint['meta'],
                        f'{self.key}: {path!r}')


def check_processes(loop: Any, meta: Mapping[str, Any], here: str) -> None:
    """Check that an iteration is as large as it was.

    Where it is not, schedules in iterations, pruning intervals and the like
    would be at another place than the epochs, without an error.

    Args:
        loop (BaseLoop): The training loop.
        meta (Mapping): The meta of the checkpoint.
        here (str): The config key and the file, for messages.

    Raises:
        ConfigError: If an epoch has another number of iterations than it had,
            or an iteration-based training another number of processes.
    """
    before, now = meta.get('processes'), get_world_size()
    if before is None:
        return
    if not isinstance(loop, EpochBasedTrainLoop):
        if before == now or meta['iter'] >= loop.max_iters:
            return
        raise ConfigError(f'{here} was written by {_processes(before)}, this '
                          f'run is of {now}; resume with {_processes(before)}')
    length, was = len(loop.dataloader), meta.get('epoch_length')
    if was == length or meta['epoch'] >= loop.max_epochs:
        return
    if before == now:
        raise ConfigError(
            f'{here} was written with {was} iterations an epoch, now there '
            f'are {length}; put back the data and the batch size of '
            'train_dataloader')
    raise ConfigError(
        f'{here} was written by {_processes(before)} with {was} iterations an '
        f'epoch, this run of {_processes(now)} has {length}; resume with '
        f'{_processes(before)}')


def _processes(count: int) -> str:
    return f'{count} process{"es" if count != 1 else ""}'


def check_state(runner: Any, checkpoint: Mapping[str, Any], path: str,
                key: str) -> None:
    """Check that all state of a training is in a checkpoint, and fits.

    Args:
        runner (Runner): The runner of the training process.
        checkpoint (Mapping): What the file holds.
        path (str): The file, for messages.
        key (str): The config key that names it, for messages.

    Raises:
        ConfigError: If a part is missing, or of another training.
    """
    here = f'{key}: {path!r}'
    if not has_position(checkpoint.get('meta')):
        raise ConfigError(f'{here} is no checkpoint of a training: its meta '
                          'has no iter and epoch that are integers')
    model = unwrapped(runner.model)
    state = _part(checkpoint, 'state_dict', here)
    check_weights(model, {
        name.removeprefix('module.'): data
        for name, data in state.items()
    }, path, key)
    averages = [
        hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)
    ]
    for averaged in averages:
        check_weights(averaged, _part(checkpoint, 'ema_state_dict', here),
                      path, key)
    if 'ema_state_dict' in checkpoint and not averages:
        raise ConfigError(f'{here} has averaged weights, but custom_hooks has '
                          'no EMAHook')
    hub = checkpoint.get('message_hub')
    if not isinstance(hub, Mapping) or not all(
            isinstance(hub.get(part), Mapping) for part in _HUB) or not all(
                isinstance(x, bool) for x in hub['resumed_keys'].values()):
        raise ConfigError(f'{here} has no message_hub of a training')
    saved = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    try:
        if 'optimizer' in checkpoint or all(x.save_optimizer for x in saved):
            _check_optimizers(runner.optim_wrapper,
                              checkpoint.get('optimizer'))
        if 'param_schedulers' in checkpoint or all(x.save_param_scheduler
                                                   for x in saved):
            _check_schedules(runner.param_schedulers,
                             checkpoint.get('param_schedulers'))
    except _Misfit as error:
        raise ConfigError(f'{here} is of another training: {error}') from None
    except (AttributeError, LookupError, TypeError, ValueError):
        raise ConfigError(f'{here} has no optimizer and param_schedulers of a '
                          'training') from None


class _Misfit(Exception):
    """What is of another training."""


def _part(checkpoint: Mapping[str, Any], part: str,
          here: str) -> Dict[str, Any]:
    state = checkpoint.get(part)
    if not isinstance(state, Mapping) or not state:
        raise ConfigError(f'{here} has no {part}')
    return dict(state)


def _check_optimizers(wrapper: Any, saved: Any) -> None:
    if saved is None:
        raise _Misfit('it has no optimizer')
    if not isinstance(wrapper, OptimWrapperDict):
        _check_optimizer(wrapper, saved)
        return
    parts = dict(wrapper.items())
    if saved.keys() != parts.keys():
        raise _Misfit(f'its optimizers are {", ".join(map(str, saved))}, not '
                      f'{", ".join(parts)}')
    for name, part in parts.items():
        _check_optimizer(part, saved[name])


def _check_optimizer(wrapper: Any, saved: Mapping[str, Any]) -> None:
    if hasattr(wrapper, 'loss_scaler') and 'loss_scaler' not in saved:
        raise _Misfit('its optimizer has no loss_scaler: it was no mixed '
                      'precision')
    groups, found = wrapper.optimizer.param_groups, saved['param_groups']
    sizes = [len(group['params']) for group in groups]
    others = [len(group['params']) for group in found]
    if sizes != others:
        raise _Misfit(f'its optimizer has {sum(others)} weights in '
                      f'{len(others)} groups, not {sum(sizes)} in '
                      f'{len(sizes)}')
    for mine, theirs in zip(groups, found):
        _check_kind(mine, theirs, 'optimizer', complete=False)
    weights = chain.from_iterable(group['params'] for group in groups)
    indices = chain.from_iterable(group['params'] for group in found)
    by_index = dict(zip(indices, weights))
    for index, state in saved['state'].items():
        if index not in by_index:
            raise _Misfit(f'its optimizer has a state {index!r} of no weight')
        wanted = tuple(by_index[index].shape)
        for name in _LIKE_WEIGHTS:
            data = state.get(name)
            if data is not None and tuple(data.shape) != wanted:
                raise _Misfit(f'{name} of weight {index} in its optimizer is '
                              f'{tuple(data.shape)}, not {wanted}')


def _check_schedules(own: Any, saved: Any) -> None:
    mine, theirs = _by_name(own), _by_name(saved)
    for name in {**mine, **theirs}:
        here, there = mine.get(name, []), theirs.get(name, [])
        if len(here) != len(there):
            raise _Misfit(f'it has {len(there)} param_schedulers, not '
                          f'{len(here)}')
        for scheduler, state in zip(here, there):
            _check_kind(
                scheduler.state_dict(),
                state,
                'param_scheduler',
                complete=True)


def _by_name(schedulers: Any) -> Dict[Optional[str], List]:
    if isinstance(schedulers, Mapping):
        return dict(schedulers)
    return {None: list(schedulers or ())}


def _check_kind(own: Mapping[str, Any], saved: Mapping[str, Any], what: str,
                complete: bool) -> None:
    """Check the settings of one, by name and form.

    Those of an optimizer need not be complete: PyTorch adds what another
    version has not.
    """
    surplus = sorted(saved.keys() - own.keys())
    missing = sorted(own.keys() - saved.keys())
    if missing and (surplus or complete):
        has = f'has {surplus[0]}, and no' if surplus else 'has no'
        raise _Misfit(f'its {what} {has} {missing[0]}')
    for name, value in saved.items():
        if name in own and not _is_like(own[name], value):
            raise _Misfit(f'{name} of its {what} is {value!r}, here it is '
                          f'{own[name]!r}')


def _is_like(own: Any, saved: Any) -> bool:
    """Whether a setting has a form in which it can be used."""
    if isinstance(own, str):
        return isinstance(saved, str)
    if isinstance(own, (list, tuple)):
        return isinstance(saved,
                          (list, tuple)) and len(own) == len(saved) and all(
                              map(_is_like, own, saved))
    if isinstance(own, bool):
        return saved is None or isinstance(saved, bool)
    if not isinstance(own, Number):
        return True
    if isinstance(saved, bool) or not isinstance(saved, Number):
        return False
    # Such as the best metric, before there is one.
    return math.isfinite(saved) or not math.isfinite(own)
