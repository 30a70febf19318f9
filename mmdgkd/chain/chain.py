# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is trained by whom: pure data, nothing is built here."""
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown
from .method import METHODS
from .options import read_format, read_store, read_views

GUIDANCES = ('none', 'direct', 'sequential', 'dense')
_CHAIN_KEYS = ('guidance', 'networks', 'metric', 'views', 'logit_store',
               'save_as')
_NETWORK_KEYS = ('model', 'ckpt_path', 'init_from', 'stage')


@dataclass(frozen=True)
class Network:
    """One classifier of the chain.

    Args:
        name (str): Its name, and the name of its folder.
        model (dict): Its MMPretrain model config, or that of an algorithm of
            MMRazor around one, such as ``ItePruneAlgorithm``.
        ckpt_path (str, optional): The file of its weights. Given one, it is
            not trained. Defaults to None.
        stage (dict): What its stage has otherwise than the rest of the config,
            merged into it by MMEngine's rules. Defaults to an empty dict.
        init_from (str, optional): A network before it with the same weights,
            by name and shape, from which its training begins; so one is pruned
            or quantized that was trained in this chain. Defaults to None.
        part_of (str, optional): The network before it in whose stage it is
            trained, such as that of which it is one width. Defaults to None.
        part (dict): What its entry says of that, such as ``width_of`` and
            ``width``. Defaults to an empty dict.
        trainer (dict, optional): The config of an algorithm around it that has
            parts for the training alone, such as auxiliary heads. They are in
            its checkpoints, and not in its file. Defaults to None.
    """

    name: str
    model: Dict
    ckpt_path: Optional[str] = None
    stage: Dict = field(default_factory=dict)
    init_from: Optional[str] = None
    part_of: Optional[str] = None
    part: Dict = field(default_factory=dict)
    trainer: Optional[Dict] = None

    @property
    def part_facts(self) -> Dict[str, Any]:
        """:attr:`part` without the name of the other, such as ``width``."""
        return {k: v for k, v in self.part.items() if v != self.part_of}


@dataclass(frozen=True)
class Chain:
    """The networks from the largest to the smallest, and which networks are teachers of which.

    Args:
        networks (tuple[Network]): From the teacher to the student.
        guidance (str | dict): As in the config.
        teachers (dict[str, tuple[str]]): For each network its teachers.
        metric (str, optional): The validation metric that counts.
            Defaults to None: the first one.
        views (dict, optional): ``seed`` and ``num_views`` of the views of the
            training images, see ``ViewDataset``. The seed is by default that
            of the run. None: the data set is used as it is, and its
            augmentation depends on the order of events. Defaults to {}.
        logit_store (dict, optional): ``store_dir``, by default ``logits`` in
            the work dir, ``dtype`` and ``top_k``, see ``LogitStore``.
            Defaults to None: teachers are run each time.
        save_as (str): Format, and ending, of the files of trained networks,
            ``'pth'`` or ``'safetensors'``. Defaults to ``'pth'``.
    """

    networks: Tuple[Network, ...]
    guidance: Union[str, Dict[str, List[str]]]
    teachers: Dict[str, Tuple[str, ...]]
    metric: Optional[str] = None
    views: Optional[Dict] = field(default_factory=dict)
    logit_store: Optional[Dict] = None
    save_as: str = 'pth'

    @classmethod
    def from_cfg(cls, cfg: Optional[Mapping]) -> 'Chain':
        """Read and check ``cfg.chain``.

        Args:
            cfg (Mapping): ``networks``, a dict from names to networks or a
                list of networks with names, where None leaves one out;
                ``guidance``, by default ``'dense'``; ``metric``; ``views``;
                ``logit_store``; and ``save_as``.

        Raises:
            ConfigError: For whatever does not make a chain.
        """
        if not isinstance(cfg, Mapping):
            raise ConfigError('chain: the config has none; it needs '
                              'chain=dict(guidance=..., networks=dict(...))')
        refuse_unknown(cfg, _CHAIN_KEYS, 'chain')
        read: Dict[str, Network] = {}
        for name, entry in _entries(cfg.get('networks')):
            read[name] = _read_network(name, entry, read)
        networks = tuple(read.values())
        if not networks:
            raise ConfigError('chain.networks: is empty; name at least one '
                              'network, the teacher first')
        names = [network.name for network in networks]
        guidance = cfg.get('guidance', 'dense')
        teachers = teachers_of(guidance, names)
        for network in networks:
            if network.ckpt_path:
                teachers[network.name] = ()
            if network.part_of:
                _check_guidance_of_part(guidance, network)
                teachers[network.name] = teachers[network.part_of]
            _check_init_from(network, names)
        views, store = read_views(cfg.get('views', {})), cfg.get('logit_store')
        if store is False:
            store = None
        if store is not None:
            store = read_store(store)
            if views is None:
                raise ConfigError('chain.logit_store: remembers the logits of '
                                  'views, but chain.views is None; leave that '
                                  'out')
        return cls(networks, guidance, teachers, cfg.get('metric'), views,
                   store, read_format(cfg.get('save_as', 'pth')))

    @property
    def names(self) -> List[str]:
        """Names of the networks, in order."""
        return [network.name for network in self.networks]

    def __getitem__(self, name: str) -> Network:
        return self.networks[self.names.index(name)]

    def to_cfg(self) -> Dict[str, Any]:
        """The chain as a config that keeps its order when it is written.

        MMEngine sorts the keys of a dict that it writes, but not a list.
        """
        networks = []
        for network in self.networks:
            entry = dict(name=network.name)
            if network.part_of:
                entry.update(network.part)
            else:
                entry['model'] = network.trainer or network.model
            if network.ckpt_path:
                entry['ckpt_path'] = network.ckpt_path
            if network.init_from:
                entry['init_from'] = network.init_from
            if network.stage and not network.part_of:
                entry['stage'] = network.stage
            networks.append(entry)
        cfg = dict(
            guidance=self.guidance,
            networks=networks,
            views=self.views,
            logit_store=self.logit_store)
        if self.metric:
            cfg['metric'] = self.metric
        if self.save_as != 'pth':
            cfg['save_as'] = self.save_as
        return cfg

    def needs(self, name: str) -> Tuple[str, ...]:
        """The networks that must be there before one is trained.

        Args:
            name (str): The one: its teachers, and that from which it begins;
                for one without a stage that with which it is trained.
        """
        if self[name].part_of:
            return (self[name].part_of, )
        first = self[name].init_from
        teachers = self.teachers[name]
        return teachers if first in (None, *teachers) else (*teachers, first)

    def stage_of(self, name: str) -> str:
        """The network in whose stage one is trained, mostly it itself.

        Args:
            name (str): The one.
        """
        return self[name].part_of or name

    def require(self, name: str, key: str) -> Network:
        """The network of a name that the user gave.

        Args:
            name (str): The name.
            key (str): Where the user gave it, for the message.

        Raises:
            ConfigError: If there is none.
        """
        if name not in self.names:
            raise ConfigError(f'{key}: "{name}" is no network of this chain; '
                              f'there are: {", ".join(self.names)}')
        return self[name]


def teachers_of(guidance: Union[str, Mapping[str, Sequence[str]]],
                names: Sequence[str]) -> Dict[str, Tuple[str, ...]]:
    """Who teachers whom.

    Args:
        guidance (str | Mapping): ``'none'`` (plain training), ``'direct'``
            (KD: the teacher alone), ``'sequential'`` (TAKD: the network
            before), ``'dense'`` (DGKD: all before), or a mapping from names
            to lists of teachers, in which the others train plainly.
        names (Sequence[str]): The networks, the largest first.

    Returns:
        dict[str, tuple[str]]: For each network its teachers, in chain order.

    Raises:
        ConfigError: For an unknown word or name, or for a teacher that does not
            come before the network of which it is a teacher.
    """
    before = {name: tuple(names[:i]) for i, name in enumerate(names)}
    if isinstance(guidance, str):
        if guidance not in GUIDANCES:
            raise ConfigError(f'chain.guidance: {guidance!r} is none of '
                              f'{", ".join(GUIDANCES)}, and no mapping '
                              '{network: [teachers]}')
        chosen = {
            'none': slice(0, 0),
            'direct': slice(0, 1),
            'sequential': slice(-1, None),
            'dense': slice(None)
        }[guidance]
        return {name: teachers[chosen] for name, teachers in before.items()}
    if not isinstance(guidance, Mapping):
        raise ConfigError(f'chain.guidance: {guidance!r} must be one of '
                          f'{", ".join(GUIDANCES)}, or a mapping')
    for name, teachers in guidance.items():
        here = f'chain.guidance.{name}'
        if name not in before:
            raise ConfigError(f'{here}: is no network of this chain; there '
                              f'are: {", ".join(names)}')
        if isinstance(teachers, str) or not isinstance(teachers, Sequence):
            raise ConfigError(f'{here}: {teachers!r} must be a list of names')
        for teacher in teachers:
            if teacher not in before:
                raise ConfigError(
                    f'{here}: the teacher "{teacher}" is no network '
                    f'of this chain; there are: '
                    f'{", ".join(names)}')
            if teacher not in before[name]:
                raise ConfigError(
                    f'{here}: the teacher "{teacher}" does not come before '
                    f'"{name}"; possible: '
                    f'{", ".join(before[name]) or "none, it is the first"}')
    return {
        name:
        tuple(teacher for teacher in before[name]
              if teacher in guidance.get(name, ()))
        for name in names
    }


def _entries(networks: Any) -> List[Tuple[str, Mapping]]:
    here = 'chain.networks'
    if networks is None:
        return []
    if isinstance(networks, Mapping):
        pairs = list(networks.items())
    elif isinstance(networks, (list, tuple)):
        pairs = []
        for i, entry in enumerate(networks):
            if not isinstance(entry, Mapping) or 'name' not in entry:
                raise ConfigError(f'{here}[{i}]: has no name; it must be '
                                  'dict(name=..., model=...)')
            pairs.append((entry['name'], {
                k: v
                for k, v in entry.items() if k != 'name'
            }))
    else:
        raise ConfigError(f'{here}: must be a dict or a list of networks, not '
                          f'{type(networks).__name__}')
    pairs = [(name, entry) for name, entry in pairs if entry is not None]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f'{here}: there are {names.count(name)} networks '
                f'named "{name}"; each needs a name of its own')
    return pairs


def _read_network(name: Any, entry: Any, before: Mapping[str,
                                                         Network]) -> Network:
    here = f'chain.networks.{name}'
    if not re.fullmatch(r'[A-Za-z0-9_-]+', str(name)) or 'loss' in str(name):
        raise ConfigError(
            f'{here}: a name is made of letters, digits, "_" and "-", without '
            'the word "loss" (MMEngine adds up all logged values with it)')
    if not isinstance(entry, Mapping):
        raise ConfigError(f'{here}: must be dict(model=..., ckpt_path=..., '
                          f'stage=...), not {type(entry).__name__}')
    if name == 'config':
        raise ConfigError(f'{here}: is the name of a file in its own folder, '
                          'config.py; choose another')
    if name == 'logits':
        raise ConfigError(f'{here}: is the name of the folder of the logit '
                          'store; choose another')
    for method in METHODS.values():
        network = method.chain_entry(str(name), entry, before)
        if network is not None:
            return network
    return read_entry(str(name), entry)


def read_entry(name: str, entry: Mapping[str, Any]) -> Network:
    """Read a network that has a stage of its own.

    Args:
        name (str): Its name.
        entry (Mapping): ``model`` and perhaps ``ckpt_path``, ``init_from`` and
            ``stage``.

    Raises:
        ConfigError: If it is not made of these.
    """
    here = f'chain.networks.{name}'
    refuse_unknown(entry, _NETWORK_KEYS, here)
    if not isinstance(entry.get('ckpt_path') or '', str):
        raise ConfigError(f'{here}.ckpt_path: {entry["ckpt_path"]!r} must be '
                          'the name of a file')
    if not isinstance(entry.get('model'), Mapping):
        raise ConfigError(f'{here}.model: is missing; it must be the config '
                          'of an MMPretrain model')
    stage = entry.get('stage') or {}
    if not isinstance(stage, Mapping):
        raise ConfigError(f'{here}.stage: must be a dict of what this stage '
                          f'has otherwise, not {type(stage).__name__}')
    return Network(name, entry['model'], entry.get('ckpt_path'), stage,
                   entry.get('init_from'))


def _check_guidance_of_part(guidance: Any, network: Network) -> None:
    if isinstance(guidance, Mapping) and network.name in guidance:
        raise ConfigError(
            f'chain.guidance.{network.name}: is trained with '
            f'"{network.part_of}" and has its teachers; leave it out')


def _check_init_from(network: Network, names: Sequence[str]) -> None:
    if network.init_from is None:
        return
    here = f'chain.networks.{network.name}.init_from'
    before = names[:names.index(network.name)]
    if network.init_from not in before:
        raise ConfigError(f'{here}: {network.init_from!r} is no network before'
                          f' "{network.name}"; possible: '
                          f'{", ".join(before) or "none, it is the first"}')
    if network.ckpt_path:
        raise ConfigError(f'{here}: is given beside ckpt_path, with which '
                          'nothing is trained; leave one out')
