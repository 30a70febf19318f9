# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which networks are teachers of which: pure data, nothing is built here."""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown
from .entries import Network, read_networks
from .metric import read_metric
from .options import (read_folds, read_format, read_holdout, read_preflight,
                      read_store, read_views)

GUIDANCES = ('none', 'direct', 'sequential', 'dense', 'independent')
_CHAIN_KEYS = ('guidance', 'networks', 'order', 'metric', 'views',
               'logit_store', 'save_as', 'preflight', 'holdout', 'folds')


@dataclass(frozen=True)
class Chain:
    """The networks, and which of them are teachers of which.

    Args:
        networks (tuple[Network]): From the largest, the teacher, to the
            smallest, the student.
        guidance (str | dict): As in the config.
        teachers (dict[str, tuple[str]]): For each network its teachers.
        metric (str, optional): The validation metric to record.
            Defaults to None: the first number.
        views (dict, optional): ``seed`` and ``num_views`` of the views of the
            training images, see ``ViewDataset``. The seed is by default that
            of the run. None: the data set is used as it is, and its
            augmentation depends on the order of events. Defaults to {}.
        logit_store (dict, optional): ``store_dir``, by default ``logits`` in
            the work dir, ``dtype``, ``top_k`` and ``others``, see
            ``LogitStore``. Defaults to None: teachers run in each stage.
        save_as (str): Format, and ending, of the files of trained networks,
            ``'pth'`` or ``'safetensors'``. Defaults to ``'pth'``.
        rule (str, optional): Which of two of its values is better,
            ``'greater'`` or ``'less'``. Defaults to None: by its name, where
            that tells it.
        preflight (dict, optional): ``steps`` of training in the rehearsal of
            each stage. None: it is left out. Defaults to two steps.
        holdout (dict, optional): ``size``, the number of training images that
            are in no training, ``seed`` and ``validate``, whether the stages
            are validated on them. Defaults to None: there are none.
        folds (dict, optional): ``num``, the number of folds of the other
            training images, and ``seed``, see :meth:`fold_of`.
            Defaults to None: there are none.
    """

    networks: Tuple[Network, ...]
    guidance: Union[str, Dict[str, List[str]]]
    teachers: Dict[str, Tuple[str, ...]]
    metric: Optional[str] = None
    views: Optional[Dict] = field(default_factory=dict)
    logit_store: Optional[Dict] = None
    save_as: str = 'pth'
    rule: Optional[str] = None
    preflight: Optional[Dict] = field(default_factory=lambda: dict(steps=2))
    holdout: Optional[Dict] = None
    folds: Optional[Dict] = None

    @classmethod
    def from_cfg(cls, cfg: Optional[Mapping]) -> 'Chain':
        """Read and check ``cfg.chain``.

        Args:
            cfg (Mapping): ``networks``, a dict from names to networks or a
                list of networks with names, where None leaves one out;
                ``order``, a list of these names, the largest first;
                ``guidance``, by default ``'dense'``; ``metric``, a name or
                ``dict(name=..., rule='greater'|'less')``; ``views``;
                ``logit_store``; ``save_as``; ``preflight``; ``holdout``; and
                ``folds``.

        Raises:
            ConfigError: For a missing or unknown key, or a wrong value.
        """
        if not isinstance(cfg, Mapping):
            raise ConfigError('chain: the config has none; it needs '
                              'chain=dict(guidance=..., networks=dict(...))')
        refuse_unknown(cfg, _CHAIN_KEYS, 'chain')
        networks = read_networks(cfg.get('networks'), cfg.get('order'))
        names = [network.name for network in networks]
        guidance = cfg.get('guidance', 'dense')
        trained = [
            each.name for each in networks
            if not (each.part_of or each.ckpt_path)
        ]
        teachers = teachers_of(guidance, names, (trained or names)[-1])
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
                raise ConfigError('chain.logit_store: caches the logits of '
                                  'views, but chain.views is None; leave that '
                                  'out')
        metric, rule = read_metric(cfg.get('metric'))
        holdout, folds = read_holdout(cfg.get('holdout')), read_folds(
            cfg.get('folds'))
        _check_folds(networks, folds)
        for key, value in (('holdout', holdout), ('folds', folds)):
            if value is not None and views is None:
                raise ConfigError(f'chain.{key}: leaves out views of training '
                                  'images, but chain.views is None; leave '
                                  'that out')
        chain = cls(networks, guidance, teachers, metric, views, store,
                    read_format(cfg.get('save_as', 'pth')), rule,
                    read_preflight(cfg.get('preflight')), holdout, folds)
        chain.check_beginnings()
        return chain

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
            if network.ckpt_key:
                entry['ckpt_key'] = network.ckpt_key
            if network.teacher_classes is not None:
                entry['teacher_classes'] = network.teacher_classes
            if network.input:
                entry['input'] = network.input
            if network.init_from:
                entry['init_from'] = network.init_from
            if network.use != 'last':
                entry['use'] = network.use
            if network.fold != 'auto' and not network.part_of:
                entry['fold'] = network.fold
            if network.stage and not network.part_of:
                entry['stage'] = network.stage
            networks.append(entry)
        cfg = dict(
            guidance=self.guidance,
            networks=networks,
            views=self.views,
            logit_store=self.logit_store)
        if self.rule:
            cfg['metric'] = dict(name=self.metric, rule=self.rule)
        elif self.metric:
            cfg['metric'] = self.metric
        if self.save_as != 'pth':
            cfg['save_as'] = self.save_as
        if self.preflight != dict(steps=2):
            cfg['preflight'] = self.preflight or False
        for key in ('holdout', 'folds'):
            if getattr(self, key):
                cfg[key] = dict(getattr(self, key))
        return cfg

    def fold_of(self, name: str) -> Optional[int]:
        """The fold of the training images that a network is trained without.

        By default network k of the chain, counted from 0 without those that
        are parts of others, leaves out fold k, modulo their number, and the
        last one none. One that begins from another leaves out the fold of
        that, whose images it would know.

        Args:
            name (str): The network.

        Returns:
            int, optional: None if it is trained on all.
        """
        network = self[self.stage_of(name)]
        if self.folds is None or network.fold != 'auto':
            return None if self.folds is None else network.fold
        names = [each.name for each in self.networks if not each.part_of]
        if network.name == names[-1]:
            return None
        if network.init_from:
            return self.fold_of(network.init_from)
        return names.index(network.name) % self.folds['num']

    def check_beginnings(self) -> None:
        """Refuse a network that begins from one that has seen its fold.

        Raises:
            ConfigError: If there is one.
        """
        for network in self.networks:
            fold = self.fold_of(network.name)
            if network.init_from is None or fold in (None,
                                                     self.fold_of(
                                                         network.init_from)):
                continue
            raise ConfigError(
                f'chain.networks.{network.name}.fold: {fold} is not that of '
                f'"{network.init_from}", from which it begins and which has '
                f'seen it; leave it out, or set '
                f'{self.fold_of(network.init_from)}')

    def needs(self, name: str) -> Tuple[str, ...]:
        """The networks whose files are needed before one is trained.

        Args:
            name (str): The network.

        Returns:
            tuple[str]: Its teachers, and the network that it begins from. For
            a part of another network, that one.
        """
        if self[name].part_of:
            return (self[name].part_of, )
        first = self[name].init_from
        teachers = self.teachers[name]
        return teachers if first in (None, *teachers) else (*teachers, first)

    def stage_of(self, name: str) -> str:
        """The network in whose stage one is trained, mostly itself.

        Args:
            name (str): The network.
        """
        return self[name].part_of or name

    def require(self, name: str, key: str) -> Network:
        """The network of a name that the user gave.

        Args:
            name (str): The name.
            key (str): The config key or flag, for the message.

        Raises:
            ConfigError: If there is none.
        """
        if name not in self.names:
            raise ConfigError(f'{key}: "{name}" is no network of this chain; '
                              f'there are: {", ".join(self.names)}')
        return self[name]


def teachers_of(guidance: Union[str, Mapping[str, Sequence[str]]],
                names: Sequence[str],
                student: str) -> Dict[str, Tuple[str, ...]]:
    """Which networks are teachers of which.

    Args:
        guidance (str | Mapping): ``'none'`` (plain training), ``'direct'``
            (KD: the largest alone), ``'sequential'`` (TAKD: the network
            before), ``'dense'`` (DGKD: all before), ``'independent'`` (all
            before the student; the others train plainly), or a mapping from
            names to lists of teachers, in which the others train plainly.
        names (Sequence[str]): The networks, the largest first.
        student (str): The last that is trained by itself.

    Returns:
        dict[str, tuple[str]]: For each network its teachers, in chain order.

    Raises:
        ConfigError: For an unknown word or name, or for a teacher that does
            not come before its student.
    """
    before = {name: tuple(names[:i]) for i, name in enumerate(names)}
    if isinstance(guidance, str):
        if guidance not in GUIDANCES:
            raise ConfigError(f'chain.guidance: {guidance!r} is none of '
                              f'{", ".join(GUIDANCES)}, and no mapping '
                              '{network: [teachers]}')
        if guidance == 'independent':
            return {**dict.fromkeys(names, ()), student: before[student]}
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
        _check_teachers(name, teachers, before)
    return {
        name:
        tuple(teacher for teacher in before[name]
              if teacher in guidance.get(name, ()))
        for name in names
    }


def _check_teachers(name: str, teachers: Any,
                    before: Mapping[str, Sequence[str]]) -> None:
    """Check an entry of ``chain.guidance``, where that is a mapping."""
    here, names = f'chain.guidance.{name}', ', '.join(before)
    if name not in before:
        raise ConfigError(
            f'{here}: is no network of this chain; there are: {names}')
    if isinstance(teachers, str) or not isinstance(teachers, Sequence):
        raise ConfigError(f'{here}: {teachers!r} must be a list of names')
    for teacher in teachers:
        # In a tuple: a dict raises for what has no hash.
        if teacher not in tuple(before):
            raise ConfigError(f'{here}: the teacher "{teacher}" is no network '
                              f'of this chain; there are: {names}')
        if teacher not in before[name]:
            raise ConfigError(
                f'{here}: the teacher "{teacher}" does not come before '
                f'"{name}"; possible: '
                f'{", ".join(before[name]) or "none, it is the first"}')


def _check_folds(networks: Sequence[Network], folds: Optional[Dict]) -> None:
    for network in networks:
        fold, here = network.fold, f'chain.networks.{network.name}.fold'
        if fold in ('auto', None):
            continue
        if folds is None:
            raise ConfigError(f'{here}: is given, but there are no folds; set '
                              'chain.folds, too')
        if not 0 <= fold < folds['num']:
            raise ConfigError(f'{here}: {fold} must be from 0 to '
                              f'{folds["num"] - 1}, as chain.folds has it')


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
