# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The networks of a chain and the classes of its data."""
import contextlib
import copy
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import meta_of, read_checkpoint
from mmdgkd.fileio.state_dicts import all_forms
from mmdgkd.models.utils.class_numbers import set_classes
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import find_type
from mmdgkd.utils.random import aside
from .chain import Chain, Network
from .class_names import match_classes, read_classes
from .model_names import number_of_classes
from .preflight.data_check import class_names
from .stage_config import merged_config


def read_chain(cfg: Config,
               datasets: Optional[Dict[str, Any]] = None) -> Chain:
    """Read ``cfg.chain``, with the classes of the data in its networks.

    ``num_classes`` is set where a model has none. A given network whose file
    has other classes, by ``teacher_classes`` or by its own meta, gets those of
    the data, which are picked from its own by name.

    Args:
        cfg (Config): The whole config.
        datasets (dict, optional): The data sets that have been built already;
            it is added to. One is built only where its classes are needed.
            Defaults to None.

    Raises:
        ConfigError: As :meth:`Chain.from_cfg`; or if the classes are needed
            and are not known, or do not match.
    """
    chain = Chain.from_cfg(cfg.get('chain'))
    known = {} if datasets is None else datasets
    scope = cfg.get('default_scope') or 'mmpretrain'
    with aside(), DefaultScope.overwrite_default_scope(scope):
        networks = tuple(
            _fit(network, _ClassesOfData(cfg, chain, network, known))
            for network in chain.networks)
    return replace(chain, networks=networks)


class _ClassesOfData:
    """The names of the classes of a network's data, read when needed."""

    def __init__(self, cfg: Config, chain: Chain, network: Network,
                 known: Dict[str, Any]) -> None:
        self._cfg, self._known = cfg, known
        self._network = chain[chain.stage_of(network.name)]
        self._names: Optional[Tuple[str, ...]] = None

    def __call__(self) -> Tuple[str, ...]:
        if self._names is None:
            self._names = class_names(
                merged_config(self._cfg, self._network), self._known)
        return self._names


def _fit(network: Network, names: _ClassesOfData) -> Network:
    """A network whose numbers of classes are those of its data."""
    if network.ckpt_path:
        network = _with_own_classes(network, names)
    unset = set_classes(network.model, 0) is not network.model or (
        network.trainer
        and set_classes(network.trainer, 0) is not network.trainer)
    if not unset:
        return network
    # Published weights have their own; a model to be trained has not.
    number = len(names()) or (network.ckpt_path and network.published
                              and network.published.num_classes)
    if not number:
        raise ConfigError(
            f'chain.networks.{network.name}.model: has no num_classes, and '
            'the data does not name its classes; set num_classes, or '
            'metainfo=dict(classes=[...]) in the data set')
    return replace(
        network,
        model=set_classes(network.model, number),
        trainer=network.trainer and set_classes(network.trainer, number))


def _with_own_classes(network: Network, names: _ClassesOfData) -> Network:
    """A given network with the classes that its file has."""
    # That it cannot be read is reported later.
    meta = meta_of(network.ckpt_path,
                   f'chain.networks.{network.name}.ckpt_path')
    if network.published and 'mmdgkd_version' not in meta:
        # What was trained here had the normalization of its config.
        network = _normalized(network, network.published.normalization)
    here = f'chain.networks.{network.name}'
    if network.teacher_classes is not None:
        own = read_classes(network.teacher_classes, f'{here}.teacher_classes')
        if not names():
            raise ConfigError(
                f'{here}.teacher_classes: the data does not name its classes; '
                'set metainfo=dict(classes=[...]) in the data set')
        picked = match_classes(names(), own, f'{here}.teacher_classes')
        return _picked(network, picked, len(own))
    own, wanted = _classes_in(meta) or _classes_of_dataset(network), ()
    # That the data cannot be read is told later.
    with contextlib.suppress(ConfigError):
        wanted = names() if own else ()
    if not wanted or own == wanted:
        return network
    try:
        picked = match_classes(wanted, own, here)
    except ConfigError as error:
        # Only what is known by name is picked; the rest is checked as it is.
        if len(own) == len(wanted) and any(
                name in own and own.index(name) != i
                for i, name in enumerate(wanted)):
            raise ConfigError(
                f'{error}; the others are in another order in its file: give '
                f'its classes, by the names of the data, as '
                f'{here}.teacher_classes') from None
        return network
    return _picked(network, picked, len(own))


def _picked(network: Network, picked: Tuple[int, ...], own: int) -> Network:
    """A network with some of the classes of its file, in another order."""
    if picked == tuple(range(own)):
        return network
    model = set_classes(network.model, len(picked), instead_of=own)
    number = number_of_classes(network_cfg(model))
    if number not in (None, len(picked)):
        raise ConfigError(
            f'chain.networks.{network.name}.model: has {number} classes, its '
            f'file {own} and the data {len(picked)}; leave num_classes out')
    return replace(
        network, model=model, picked=dict(classes=list(picked), of=own))


def _normalized(network: Network, normalization: Any) -> Network:
    if not normalization:
        return network
    model = copy.deepcopy(dict(network.model))
    network_cfg(model).setdefault('data_preprocessor', dict(normalization))
    return replace(network, model=model)


def _classes_in(meta: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    """The names in a file of MMEngine, or of MMClassification before it."""
    found = meta.get('dataset_meta')
    found = found.get('classes') if isinstance(found, Mapping) else None
    found = found or meta.get('CLASSES')
    if isinstance(found, (list, tuple)) and all(
            isinstance(name, str) for name in found):
        return tuple(found)
    return None


def _classes_of_dataset(network: Network) -> Optional[Tuple[str, ...]]:
    """Those of the data set that a model by name was published for.

    None if its file has no head of as many classes.
    """
    published = network.published
    if not published or not published.dataset:
        return None
    with contextlib.suppress(ConfigError, KeyError):
        kind = find_type(DATASETS, published.dataset)
        names = tuple(getattr(kind, 'METAINFO', {}).get('classes') or ())
        checkpoint = read_checkpoint(network.ckpt_path, '')
        if any(data.shape[:1] == (len(names), )
               for form in all_forms(checkpoint)
               for data in form.state.values()):
            return names
    return None
