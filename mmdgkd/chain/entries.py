# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading the networks of a chain: pure data, nothing is built here."""
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from mmdgkd.errors import ConfigError
from mmdgkd.models.distillers.ensembles import check_name
from mmdgkd.models.teachers.teacher_input import read_input
from mmdgkd.utils.config import refuse_unknown
from .method import METHODS
from .model_names import ZOO, Published, read_model
from .use import read_use

_NETWORK_KEYS = ('model', 'ckpt_path', 'init_from', 'stage', 'ckpt_key',
                 'input', 'teacher_classes', 'use', 'fold')


@dataclass(frozen=True)
class Network:
    """One classifier of the chain.

    Args:
        name (str): Its name, and the name of its folder.
        model (dict): Its MMPretrain model config, or that of an algorithm of
            MMRazor around one, such as ``ItePruneAlgorithm``.
        ckpt_path (str, optional): The file of its weights. Given one, it is
            not trained. Defaults to None.
        stage (dict): What differs in its stage from the rest of the config,
            merged into it by MMEngine's rules. Defaults to an empty dict.
        init_from (str, optional): A network before it, with weights of the
            same names and shapes, from which its training begins. So a
            network of this chain is pruned or quantized. Defaults to None.
        part_of (str, optional): The network before it within which it is
            trained, such as the one of which it is a width. Defaults to None.
        part (dict): What its entry says of that network: first the key that
            names it, such as ``width_of``, then others, such as ``width``.
            Defaults to an empty dict.
        trainer (dict, optional): The config of an algorithm around it that has
            parts for the training alone, such as auxiliary heads. They are in
            its checkpoints, not in its file. Defaults to None.
        ckpt_key (str, optional): The key of the weights in ``ckpt_path``, such
            as ``'model_ema'``. Defaults to None: ``'state_dict'`` or another
            known one, see :func:`state_dict_of`.
        input (dict, optional): ``size``, ``mean``, ``std`` and ``to_rgb`` of
            the images that it gets as a teacher. Defaults to None: those of
            its own data preprocessor.
        teacher_classes (list[str] | str, optional): The classes of the file of
            a given network, where they are not those of the data, see
            :func:`read_classes`. Defaults to None: those in its meta, or those
            of the data.
        published (Published, optional): What is known of a model that is
            named. Defaults to None.
        picked (dict, optional): Which classes of the file of a given network
            are those of the data, see :func:`read_chain`. Defaults to None:
            they are the same.
        use (str): Which weights of its training are its own: ``'last'``,
            ``'best'``, by the metric of the chain, or ``'ema'``, averaged.
            Defaults to ``'last'``.
        fold (int | str, optional): The fold of ``chain.folds`` that it is
            trained without; None: it is trained on all. Defaults to
            ``'auto'``, see :meth:`Chain.fold_of`.
    """

    name: str
    model: Dict
    ckpt_path: Optional[str] = None
    stage: Dict = field(default_factory=dict)
    init_from: Optional[str] = None
    part_of: Optional[str] = None
    part: Dict = field(default_factory=dict)
    trainer: Optional[Dict] = None
    ckpt_key: Optional[str] = None
    input: Optional[Dict] = None
    teacher_classes: Any = None
    published: Optional[Published] = field(default=None, compare=False)
    picked: Optional[Dict] = None
    use: str = 'last'
    fold: Union[int, str, None] = 'auto'

    @property
    def part_facts(self) -> Dict[str, Any]:
        """:attr:`part` without its first key, the parent: ``width``."""
        return dict(list(self.part.items())[1:])


def read_networks(networks: Any, order: Any = None) -> Tuple[Network, ...]:
    """Read ``chain.networks``.

    Args:
        networks (Any): As in the config: a dict from names to networks, or a
            list of networks with names. An entry of None is left out.
        order (Any): ``chain.order``, as in the config: a list of names, or
            None. Defaults to None.

    Raises:
        ConfigError: If it is none of these, empty, or if an entry or the order
            is wrong.
    """
    read: Dict[str, Network] = {}
    for name, entry in _all_entries(networks, order):
        read[name] = _read_network(name, entry, read)
    if not read:
        raise ConfigError('chain.networks: is empty; name at least one '
                          'network, the teacher first')
    return tuple(read.values())


def _all_entries(networks: Any, order: Any) -> List[Tuple[str, Any]]:
    """The names and the configs of the networks, those of methods, too."""
    pairs = _in_order(_entries(networks), networks, order)
    for method in METHODS.values():
        pairs = [
            more for name, entry in pairs
            for more in method.more_entries(name, entry).items()
        ]
    _check_names_once(pairs)
    return pairs


def _entries(networks: Any) -> List[Tuple[str, Any]]:
    """The names and the configs of the networks, in order."""
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
    _check_names_once(pairs)
    return pairs


def _check_names_once(pairs: List[Tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f'chain.networks: there are {names.count(name)} networks '
                f'named "{name}"; each needs a name of its own')


def _in_order(pairs: List[Tuple[str, Any]], networks: Any,
              order: Any) -> List[Tuple[str, Any]]:
    """Put the networks into the order of ``chain.order``.

    MMEngine sorts the keys of a dict that it writes. A network that is not
    listed keeps its place in a dict that is not sorted and has the listed ones
    in this order; else it comes after those. A child config may replace the
    networks and inherit the list: names of no network are a mistake only where
    the order depends on them.
    """
    here = 'chain.order'
    if order is None:
        return pairs
    if not (isinstance(order, (list, tuple))
            and len({*map(str, order)}) == len(order)):
        raise ConfigError(f'{here}: {order!r} must be a list of names, each '
                          'once, the teacher first')
    names = [name for name, _ in pairs]
    listed = [name for name in order if name in names]
    is_kept = listed == [name for name in names if name in listed]
    if not isinstance(networks, Mapping):
        if not is_kept:
            raise ConfigError(f'{here}: is {", ".join(listed)}, but the list '
                              'chain.networks has another order; leave one '
                              'out')
        return pairs
    if is_kept and list(networks) != sorted(networks, key=str):
        return pairs
    others = [name for name in names if name not in listed]
    unknown = [name for name in order if name not in networks]
    ordered = [*listed, *others]
    if unknown and others and ordered != names:
        raise ConfigError(
            f'{here}: "{unknown[0]}" is no network, and "{others[0]}" is not '
            f'listed; list all of {", ".join(names)}')
    entries = dict(pairs)
    return [(name, entries[name]) for name in ordered]


def _read_network(name: Any, entry: Any, before: Mapping[str,
                                                         Network]) -> Network:
    here = f'chain.networks.{name}'
    check_name(name, here)
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
    """Read the entry of a network that has a stage of its own.

    Args:
        name (str): Its name.
        entry (Mapping): ``model`` and perhaps ``ckpt_path``, ``ckpt_key``,
            ``init_from``, ``stage``, ``input``, ``use`` and ``fold``.

    Raises:
        ConfigError: For another key, or a wrong value.
    """
    here = f'chain.networks.{name}'
    refuse_unknown(entry, _NETWORK_KEYS, here)
    is_given = bool(entry.get('ckpt_path'))
    if not isinstance(entry.get('ckpt_path') or '', str):
        raise ConfigError(f'{here}.ckpt_path: {entry["ckpt_path"]!r} must be '
                          'the name of a file')
    ckpt_key = entry.get('ckpt_key')
    if ckpt_key is not None and not isinstance(ckpt_key, str):
        raise ConfigError(
            f'{here}.ckpt_key: {ckpt_key!r} must be a key of the '
            'file')
    if ckpt_key is not None and not is_given:
        raise ConfigError(f'{here}.ckpt_key: {ckpt_key!r} is a key of a file; '
                          'give ckpt_path, too')
    if entry.get('teacher_classes') is not None and not is_given:
        raise ConfigError(f'{here}.teacher_classes: are those of a file, and '
                          'there is none; give ckpt_path, too, or leave it '
                          'out: what is trained has the classes of the data')
    stage = entry.get('stage') or {}
    if not isinstance(stage, Mapping):
        raise ConfigError(f'{here}.stage: must be a dict of what differs in '
                          f'this stage, not {type(stage).__name__}')
    model, published = read_model(
        entry.get('model'), f'{here}.model', is_given)
    return Network(
        name,
        model,
        _file_of(entry.get('ckpt_path'), published, here),
        stage,
        entry.get('init_from'),
        ckpt_key=ckpt_key,
        input=read_input(entry.get('input'), f'{here}.input'),
        teacher_classes=entry.get('teacher_classes'),
        published=published,
        use=read_use(entry, here),
        fold=_fold_of(entry, here))


def _fold_of(entry: Mapping[str, Any], here: str) -> Union[int, str, None]:
    fold = entry.get('fold', 'auto')
    if fold not in ('auto', None) and type(fold) is not int:
        raise ConfigError(f'{here}.fold: {fold!r} must be the number of a fold'
                          ' of chain.folds, or None for a network that is '
                          'trained on all')
    return fold


def _file_of(path: Optional[str], published: Optional[Published],
             here: str) -> Optional[str]:
    """The file of a given network; the published one by ``'zoo'``."""
    if path != ZOO or osp.exists(path):
        return path
    if published is None or published.weights is None:
        raise ConfigError(f'{here}.ckpt_path: {ZOO!r} are the published '
                          'weights of a model by name, and there are none; '
                          'name a file')
    return published.weights
