# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checking that weights to begin from are weights of the model.

MMEngine loads what fits and logs the rest: a file in which nothing fits leaves
the model as it was, without an error.
"""
import logging
from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.networks import unwrapped

Shapes = Dict[str, Tuple[int, ...]]


def refuse_load_from(cfg: Config, chain: Chain) -> None:
    """Refuse ``load_from``, which names no network of the chain.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.

    Raises:
        ConfigError: If it is given, for all or for one stage.
    """
    given = [('load_from', '<name>', cfg.get('load_from'))]
    given += [(f'chain.networks.{network.name}.stage.load_from', network.name,
               network.stage.get('load_from')) for network in chain.networks]
    for key, name, path in given:
        if path:
            raise ConfigError(
                f'{key}: {path!r} has no meaning in a chain; to use trained '
                'weights as they are give them as '
                f'chain.networks.{name}.ckpt_path, to begin from them put '
                "init_cfg=dict(type='Pretrained', checkpoint=...) into "
                f'chain.networks.{name}.model')


def check_init_cfg(network: Network, model: nn.Module) -> None:
    """Check that the weights in ``init_cfg`` are weights of the network.

    URLs are not fetched.

    Args:
        network (Network): A network that is to be trained.
        model (nn.Module): Its model, perhaps on the meta device.

    Raises:
        ConfigError: If a file is missing, is no checkpoint, or has nothing
            for the module whose ``init_cfg`` names it.
    """
    here = f'chain.networks.{network.name}.model'
    for name, module in model.named_modules():
        for number, cfg in _pretrained(getattr(module, 'init_cfg', None)):
            key = '.'.join(part for part in (here, name, 'init_cfg') if part)
            key += number
            if not name and network.model.get('pretrained'):
                key = f'{here}.pretrained'
            path = cfg.get('checkpoint')
            if not isinstance(path, str):
                raise ConfigError(f'{key}: checkpoint={path!r} must be the '
                                  'name of a file')
            if '://' in path:
                continue
            _check_file(key, path, cfg.get('prefix'), module)


def check_load_from(model: nn.Module, path: Optional[str]) -> None:
    """Check that a Runner's ``load_from`` loads anything.

    Args:
        model (nn.Module): The Runner's model.
        path (str, optional): The file. None: nothing is checked.

    Raises:
        ConfigError: If the file is missing, is no checkpoint, or if nothing
            in it has the name and the shape of a weight of the model.
    """
    if not path:
        return
    key = 'load_from'
    model = unwrapped(model)
    state = _without_module(_read(path, key))
    wanted, found = _compare(model, state)
    if _fits(wanted, found):
        _warn_of_rest(key, path, wanted, found)
        return
    _refuse_shapes(key, path, wanted, found, 'model')
    what = f'{key}: nothing in {path!r} is for the model: '
    begin = f"init_cfg=dict(type='Pretrained', checkpoint={path!r}"
    prefix = _common_prefix(found, wanted)
    if prefix:
        raise ConfigError(
            f'{what}its keys begin with "{prefix}", those of the file, such '
            f'as "{_example(found)}", do not; give '
            f'model.{prefix}{begin}) instead')
    prefix = _common_prefix(wanted, found)
    if prefix:
        raise ConfigError(
            f'{what}the keys of the file begin with "{prefix}", those of the '
            f'model, such as "{_example(wanted)}", do not; give '
            f'model.{begin}, prefix={prefix!r}) instead')
    raise ConfigError(f'{what}its keys are such as "{_example(wanted)}", '
                      f'those of the file such as "{_example(found)}"')


def _check_file(key: str, path: str, prefix: Optional[str],
                module: nn.Module) -> None:
    """Check a file of an ``init_cfg``, which can take a part of it."""
    state = complete = _read(path, key)
    if prefix is None:
        state = _without_module(state)
    else:
        prefix = prefix if prefix.endswith('.') else f'{prefix}.'
        state = {
            name[len(prefix):]: data
            for name, data in state.items() if name.startswith(prefix)
        }
    wanted, found = _compare(module, state)
    if _fits(wanted, found):
        _warn_of_rest(key, path, wanted, found)
        return
    if not wanted:
        raise ConfigError(f'{key}: the module has no weights to begin from '
                          f'{path!r}')
    _refuse_shapes(key, path, wanted, found, 'module')
    shapes = {name: tuple(data.shape) for name, data in complete.items()}
    better = _common_prefix(wanted, shapes)
    if prefix is not None and _fits(wanted, shapes):
        advice = '; leave its prefix out'
    else:
        advice = f'; set prefix={better!r} in it' if better else ''
    where = '' if prefix is None else f' after the prefix "{prefix}"'
    raise ConfigError(
        f'{key}: no key of {path!r} is one of the module{where}: those of the '
        f'file are such as "{_example(shapes)}", those of the module such as '
        f'"{_example(wanted)}"{advice}')


def _pretrained(init_cfg: Any) -> Iterator[Tuple[str, Mapping]]:
    """The parts of an ``init_cfg`` that load a file, with their numbers."""
    several = isinstance(init_cfg, (list, tuple))
    for i, cfg in enumerate(init_cfg if several else [init_cfg]):
        kind = cfg.get('type') if isinstance(cfg, Mapping) else None
        kind = getattr(kind, '__name__', str(kind)).split('.')[-1]
        if kind in ('Pretrained', 'PretrainedInit'):
            yield f'[{i}]' if several else '', cfg


def _read(path: str, key: str) -> Dict[str, torch.Tensor]:
    """The tensors of a checkpoint under the names that it gives them."""
    checkpoint = read_checkpoint(path, key)
    state = checkpoint.get('state_dict', checkpoint)
    tensors = {
        name: data
        for name, data in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(data, torch.Tensor)
    }
    if not tensors:
        raise ConfigError(f'{key}: {path!r} holds no weights, neither by '
                          'itself nor under "state_dict"')
    return tensors


def _without_module(state: Dict) -> Dict:
    """As MMEngine takes off what DDP puts in front."""
    return {name.removeprefix('module.'): x for name, x in state.items()}


def _compare(module: nn.Module, state: Dict) -> Tuple[Shapes, Shapes]:
    """Shapes by name: what a module takes, and what is there for it."""
    state = dict(state)
    for name, part in module.named_modules():
        # MMPretrain's models rename what comes from elsewhere in such hooks.
        prefix = f'{name}.' if name else ''
        own = {
            key: state.pop(key)
            for key in [*state] if key.startswith(prefix)
        }
        for hook in part._load_state_dict_pre_hooks.values():
            try:
                hook(own, prefix, {}, True, [], [], [])
            except Exception:
                pass  # loading raises it again
        state.update(own)
    wanted = {
        name: tuple(data.shape)
        # Within the module: its state_dict may rename them.
        for name, data in (*module.named_parameters(), *module.named_buffers())
        # A counter: it fits wherever there is one.
        if not name.endswith('num_batches_tracked')
    }
    return wanted, {name: tuple(data.shape) for name, data in state.items()}


def _fits(wanted: Shapes, found: Shapes) -> bool:
    return any(found.get(name) == shape for name, shape in wanted.items())


def _warn_of_rest(key: str, path: str, wanted: Shapes, found: Shapes) -> None:
    """Name weights that a file has not: a new head, or another network."""
    rest = [name for name, shape in wanted.items() if found.get(name) != shape]
    if rest:
        print_log(
            f'{key}: {len(rest)} of the {len(wanted)} weights are not in '
            f'{path!r}, or not in that shape, and begin without it, such as '
            f'{rest[0]}',
            logger='current',
            level=logging.WARNING)


def _refuse_shapes(key: str, path: str, wanted: Shapes, found: Shapes,
                   what: str) -> None:
    """Refuse a file that has such names, but none in the right shape."""
    for name, shape in wanted.items():
        if name in found:
            raise ConfigError(
                f'{key}: no weight in {path!r} has the shape that it has in '
                f'the {what}: {name} is {found[name]}, not {shape}')


def _common_prefix(short: Shapes, long: Shapes) -> str:
    """The prefix of most names that are otherwise the same."""
    # By the last part: comparing all with all takes seconds in large models.
    by_end: Dict[str, List[str]] = {}
    for name in short:
        by_end.setdefault(name.rsplit('.', 1)[-1], []).append(name)
    prefixes = Counter(name[:-len(end)] for name, shape in long.items()
                       for end in by_end.get(name.rsplit('.', 1)[-1], ())
                       if name.endswith(f'.{end}') and short[end] == shape)
    return prefixes.most_common(1)[0][0] if prefixes else ''


def _example(shapes: Shapes) -> str:
    return next(iter(shapes))
