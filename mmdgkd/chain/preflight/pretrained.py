# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checking that weights to begin from are weights of the model.

MMEngine loads what fits and logs the rest: a file in which nothing fits leaves
the model as it was, without an error.
"""
import copy
import logging
from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.model_names import number_of_classes
from mmdgkd.chain.split_checks import check_beginning
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import meta_of, read_checkpoint
from mmdgkd.models.utils.networks import network_cfg, unwrapped
from mmdgkd.models.utils.weights import shapes_of, some_shapes
from mmdgkd.utils.config import reason_of


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


def check_init_cfg(chain: Chain, network: Network, model: nn.Module) -> None:
    """Check that the weights in ``init_cfg`` are weights of the network.

    URLs are not fetched.

    Args:
        chain (Chain): The chain.
        network (Network): A network that is to be trained.
        model (nn.Module): Its model.

    Raises:
        ConfigError: See :func:`check_pretrained`; or if the weights are of a
            training on images that the network leaves out.
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
            if '://' not in path:
                check_pretrained(module, path, key, cfg.get('prefix'))
                if chain.holdout or chain.folds:
                    check_beginning(chain, network.name, meta_of(path, key),
                                    key)
            elif network.published and network.published.weights == path:
                _log_new_head(key, path, network.published.num_classes,
                              number_of_classes(network_cfg(network.model)))


def check_pretrained(model: nn.Module,
                     path: str,
                     key: str,
                     prefix: Optional[str] = None) -> None:
    """Check that MMEngine loads anything, by loading it into a copy.

    Args:
        model (nn.Module): The model that begins from the file.
        path (str): The file.
        key (str): The config key that names it, for messages.
        prefix (str, optional): What it is taken of, as in the ``init_cfg``.
            Defaults to None: all.

    Raises:
        ConfigError: If the file is missing, is no checkpoint, or if it has
            nothing for the model, in name and shape.
    """
    every = _read(path, key)
    begin = '' if prefix is None else f'{prefix.removesuffix(".")}.'
    state = {
        # MMEngine takes off what DDP puts in front.
        name.removeprefix(begin or 'module.'):
        data
        for name, data in every.items() if name.startswith(begin)
    }
    try:
        model = copy.deepcopy(unwrapped(model))
        weights = {
            name: data.detach().fill_(float('nan'))
            for name, data in _saved_floats(model)
        }
        load_state_dict(model, state, logger='silent')
    except Exception as error:
        raise ConfigError(f'{key}: {path!r} does not load into the model '
                          f'({reason_of(error)})') from None
    rest = [name for name, data in weights.items() if data.isnan().all()]
    if len(rest) == len(weights):
        wanted, found = shapes_of(weights), shapes_of(every)
        better = _prefix_of(wanted, found)
        advice = ('' if better is None else
                  f"; init_cfg=dict(type='Pretrained', checkpoint={path!r}"
                  f'{f", prefix={better!r}" if better else ""}) takes it')
        raise ConfigError(
            f'{key}: nothing in {path!r}'
            f'{f" under the prefix {begin!r}" if begin else ""} is for the '
            f'model: the file has {some_shapes([*found], found)}, the model '
            f'{some_shapes(rest, wanted)}{advice}')
    theirs, mine = _classes_of(rest, shapes_of(weights), shapes_of(state))
    if theirs and theirs != mine:
        _log_new_head(key, path, theirs, mine)
    elif rest:
        print_log(
            f'{key}: {len(rest)} of the {len(weights)} weights are not in '
            f'{path!r}, or not in that shape, and begin without it, such as '
            f'{rest[0]}',
            logger='current',
            level=logging.WARNING)


def _classes_of(names: List[str], wanted: Mapping,
                found: Mapping) -> Tuple[Optional[int], Optional[int]]:
    """The classes of a file and of a model, if these weights alone tell them.

    Args:
        names (list[str]): The weights that do not fit.
        wanted (Mapping[str, tuple[int]]): Shapes in the model.
        found (Mapping[str, tuple[int]]): Shapes in the file.
    """
    rows = set()
    for name in names:
        # A network of timm has its own names in the file.
        shape = found.get(name) or found.get(name.removeprefix('model.')) or ()
        if len(shape) != len(wanted[name]) or shape[1:] != wanted[name][1:]:
            return None, None
        rows.add((shape[0], wanted[name][0]))
    return rows.pop() if len(rows) == 1 else (None, None)


def _log_new_head(key: str, path: str, theirs: Optional[int],
                  mine: Optional[int]) -> None:
    if theirs and mine and theirs != mine:
        print_log(
            f'{key}: {path!r} has {theirs} classes, the network has {mine}; '
            'its head is new',
            logger='current',
            level=logging.WARNING)


def _saved_floats(model: nn.Module) -> Iterator[Tuple[str, torch.Tensor]]:
    """What a file may have, by its name within the model.

    The state dict may have other names. Counters always fit.
    """
    unsaved = {
        f'{prefix}.{name}'.lstrip('.')
        for prefix, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    }
    for name, data in (*model.named_parameters(), *model.named_buffers()):
        if data.is_floating_point() and data.numel() and name not in unsaved:
            yield name, data


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


def _prefix_of(wanted: Mapping, found: Mapping) -> Optional[str]:
    """The prefix after which most weights of a file are those wanted."""
    prefixes = Counter(
        name.removesuffix(end) for name in found
        # All parts of a name, since comparing all with all takes seconds.
        for end in [name, *_ends(name)] if wanted.get(end) == found[name])
    return prefixes.most_common(1)[0][0] if prefixes else None


def _ends(name: str) -> Iterator[str]:
    parts = name.split('.')
    return ('.'.join(parts[i:]) for i in range(1, len(parts)))
