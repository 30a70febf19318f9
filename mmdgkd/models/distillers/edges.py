# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Edges: the recorders and losses between a teacher and the student."""
import copy
import itertools
from difflib import get_close_matches
from typing import Any, Dict, Mapping, Optional, Sequence

from mmengine.config import Config

from mmdgkd.errors import ConfigError
from mmdgkd.models.recorders.sources import DEFAULT, source_for
from mmdgkd.models.utils.logits import LOGITS
from mmdgkd.utils.config import type_of
from .ensembles import Ensembles
from .stage_sources import is_of_all, sources_in_stage

# DEFAULT is the edge of all teachers without one of their own, and the base
# of these.
_PARTS = ('student_recorders', 'teacher_recorders', 'connectors',
          'distill_losses')
_MAPPINGS = 'loss_forward_mappings'
_REDUCTION = 'edge_reduction'
_HERE = 'model.distiller.edges'


def expand_edges(distiller: Mapping[str, Any],
                 names: Sequence[str]) -> Dict[str, Any]:
    """Expand the edges of a distiller into MMRazor's form.

    An edge has the keys of a ``ConfigurableDistiller``: recorders, connectors,
    losses and their mappings. Each teacher gets a copy of it under its own
    name: ``loss_feat`` becomes ``loss_feat_resnet56``, and the source of a
    teacher recorder is a module of ``resnet56``. All teachers share a recorder
    of type ``'MultiTeacherOutputs'``, which a logit store can replace; its
    source may differ. Names that an edge does not define are those of the
    distiller.

    Args:
        distiller (Mapping): The config of a distiller, perhaps with ``edges``:
            by teacher how its edge differs from ``edges.default``, or None for
            a teacher without an edge. With ``edge_reduction='mean'`` the
            losses of the edges are divided by the number of active teachers
            with an edge; by default, ``'sum'``, they are not.
        names (Sequence[str]): The teachers.

    Returns:
        dict: The config without ``edges``.

    Raises:
        ConfigError: If an edge is of no teacher, has an unknown key or a wrong
            value, or refers to a name that neither it nor the distiller has;
            or for another ``edge_reduction``.
    """
    expanded = copy.deepcopy(dict(distiller))
    edges, reduction = expanded.pop('edges',
                                    None), expanded.pop(_REDUCTION, 'sum')
    if reduction not in ('sum', 'mean'):
        raise ConfigError(f'model.distiller.{_REDUCTION}: is {reduction!r}, '
                          "should be 'sum' or 'mean'")
    if edges is None:
        return expanded
    _check_names(edges, [DEFAULT, *names])
    for part in (*_PARTS, _MAPPINGS):
        expanded[part] = dict(expanded.get(part) or {})
    common = {part: dict(expanded[part]) for part in (*_PARTS, _MAPPINGS)}
    teacher_of_edge: Dict[str, str] = {}
    for name in names:
        edge = _edge_of(edges, name)
        if edge is not None:
            _check_parts(name, edge)
            _add_edge(expanded, common, name, edge)
        for loss in expanded[_MAPPINGS]:
            if loss not in common[_MAPPINGS]:
                teacher_of_edge.setdefault(loss, name)
    for cfg in expanded['teacher_recorders'].values():
        # One that differs in no edge is a name.
        source = cfg.get('source')
        if isinstance(source, Mapping) and len({*source.values()}) == 1:
            cfg['source'], = {*source.values()}
    if reduction == 'mean':
        expanded['averaged_losses'] = teacher_of_edge
    return expanded


def edges_for(distiller: Mapping[str, Any],
              teachers: Sequence[str],
              networks: Sequence[str],
              name: Optional[str] = None) -> Dict[str, Any]:
    """The distiller's config of a stage.

    Edges, ensembles and sources of other networks are left out.

    Args:
        distiller (Mapping): The template of a chain.
        teachers (Sequence[str]): The teachers of the stage.
        networks (Sequence[str]): All networks of the chain.
        name (str, optional): The network that is trained. Defaults to None.

    Raises:
        ConfigError: If an edge or a source is of no network and no ensemble,
            or for a wrong ensemble.
    """
    if not isinstance(distiller, Mapping):
        return distiller
    distiller = sources_in_stage(distiller, teachers, networks, name)
    together = Ensembles(distiller.get('ensembles'), networks)
    if together.all:
        distiller = together.in_stage(distiller, teachers)
    if distiller.get('edges') is None:
        return distiller
    _check_names(distiller['edges'], [DEFAULT, *networks, *together.all])
    for name in distiller['edges']:
        if together.of(name):
            raise ConfigError(
                f'{_HERE}.{name}: is in the ensemble "{together.of(name)}"; '
                'give that an edge')
    edges = {
        name: edge
        for name, edge in distiller['edges'].items()
        if name in (DEFAULT, *together.merge_names(teachers))
    }
    return dict(distiller, edges=edges)


def _check_names(edges: Any, names: Sequence[str]) -> None:
    if not isinstance(edges, Mapping):
        raise ConfigError(
            f'{_HERE}: is {edges!r}, should be a dict, teacher -> '
            f'its edge, or "{DEFAULT}" for all teachers')
    for name, edge in edges.items():
        if name not in names:
            close = get_close_matches(name, names, n=1)
            raise ConfigError(
                f'{_HERE}.{name}: there is no such teacher; there are '
                f'{", ".join(names)}' +
                (f'; is {close[0]} meant?' if close else ''))
        if edge is not None and not isinstance(edge, Mapping):
            raise ConfigError(f'{_HERE}.{name}: is {edge!r}, should be a dict '
                              'or None')
        for key in edge or ():
            if key not in (*_PARTS, _MAPPINGS, '_delete_'):
                raise ConfigError(f'{_HERE}.{name}.{key}: an edge has '
                                  f'{", ".join((*_PARTS, _MAPPINGS))}')


def _edge_of(edges: Mapping[str, Any], name: str) -> Optional[Dict[str, Any]]:
    """A teacher's edge, merged into the default one."""
    default = copy.deepcopy(dict(edges.get(DEFAULT) or {}))
    if name not in edges:
        return default or None
    if edges[name] is None:
        return None
    own = copy.deepcopy(dict(edges[name]))
    if own.pop('_delete_', False):
        return own
    try:
        return Config._merge_a_into_b(own, default)
    except TypeError as error:
        raise ConfigError(f'{_HERE}.{name}: does not merge into '
                          f'{_HERE}.{DEFAULT}: '
                          f'{str(error).splitlines()[0]}') from None


def _check_parts(name: str, edge: Mapping[str, Any]) -> None:
    """Check that all parts of an edge are configs."""

    def check(value: Any, key: str, several: bool = False) -> None:
        if isinstance(value, Mapping) or (
                several and isinstance(value, (list, tuple))
                and all(isinstance(item, Mapping) for item in value)):
            return
        raise ConfigError(f'{_HERE}.{name}.{key}: is {value!r}, should be a '
                          f'dict{" or a list of dicts" if several else ""}')

    for part in (*_PARTS, _MAPPINGS):
        check(edge.get(part) or {}, part)
        for key, cfg in (edge.get(part) or {}).items():
            # A connector may be a sequence.
            check(cfg, f'{part}.{key}', several=part == 'connectors')
            for argument, record in (cfg.items() if part == _MAPPINGS else ()):
                check(record, f'{part}.{key}.{argument}')


def _add_edge(expanded: Dict[str, Any], common: Mapping[str, Mapping],
              name: str, edge: Mapping[str, Any]) -> None:
    """Add an edge to the distiller, under the name of its teacher."""
    # The new name of each part of the edge.
    own: Dict[str, Dict[str, str]] = {part: {} for part in _PARTS}
    for part in _PARTS:
        for key, cfg in (edge.get(part) or {}).items():
            if part == 'teacher_recorders' and is_of_all(cfg):
                own[part][key] = key
                _share(expanded[part], key, cfg, name)
                continue
            if part.endswith('recorders') and type_of(cfg) == 'ModuleOutputs':
                cfg = dict(source=LOGITS) | cfg
            if part == 'teacher_recorders' and 'source' in cfg:
                source = source_for(cfg['source'], name)
                cfg = dict(cfg, source=f'{name}.{source}')
            own[part][key] = f'{key}_{name}'
            expanded[part][own[part][key]] = cfg

    def find(part: str, key: str, here: str) -> str:
        if key in own[part]:
            return own[part][key]
        if key in common[part]:
            return key
        known = [*own[part], *common[part]]
        raise ConfigError(f'{here}: "{key}" is none of the {part} of the edge '
                          'or the distiller, which are '
                          f'{", ".join(known) or "none"}')

    for loss, mapping in (edge.get(_MAPPINGS) or {}).items():
        here = f'{_HERE}.{name}.{_MAPPINGS}.{loss}'
        records = {}
        for argument, record in mapping.items():
            record = dict(record)
            if 'recorder' not in record or 'from_student' not in record:
                raise ConfigError(f'{here}.{argument}: needs a recorder, and '
                                  'from_student=True or False')
            side = 'student' if record['from_student'] else 'teacher'
            key, part = record['recorder'], f'{side}_recorders'
            record['recorder'] = find(part, key, f'{here}.{argument}.recorder')
            if side == 'teacher' and record['recorder'] == key and is_of_all(
                    expanded[part][key]):
                record['teacher'] = name
            if record.get('connector') is not None:
                record['connector'] = find('connectors', record['connector'],
                                           f'{here}.{argument}.connector')
            records[argument] = record
        key = find('distill_losses', loss, here)
        if key == loss:
            raise ConfigError(f'{here}: each edge has its losses to itself; '
                              f'put "{loss}" into distill_losses of the edge')
        expanded[_MAPPINGS][key] = records


def _share(recorders: Dict[str, Any], key: str, cfg: Mapping[str, Any],
           name: str) -> None:
    """Add a recorder for all teachers; only its source may differ."""
    shared = recorders.setdefault(key, dict(cfg, source={}))
    if dict(shared, source=None) != dict(cfg, source=None):
        raise ConfigError(
            f'{_HERE}.{name}.teacher_recorders.{key}: is {cfg}, elsewhere '
            f'{shared}; a recorder of type MultiTeacherOutputs is one for all '
            'teachers, but for its source: use another name, or '
            "type='mmrazor.ModuleOutputs'")
    source = shared.get('source', LOGITS)
    if not isinstance(source, Mapping):
        source = {DEFAULT: source}
    mine = source_for(cfg.get('source', LOGITS), name)
    recorders[key] = dict(shared, source={**source, name: mine})


def place_in_edges(message: str, distiller: Mapping[str, Any],
                   names: Sequence[str]) -> str:
    """A message with the key of a recorder as the config has it.

    Args:
        message (str): It may begin with that of the expanded config.
        distiller (Mapping): The config, perhaps with edges.
        names (Sequence[str]): The teachers.
    """
    edges = distiller.get('edges') or {}
    for name, edge, part in itertools.product(names, (None, DEFAULT),
                                              _PARTS[:2]):
        for key in (edges.get(edge or name) or {}).get(part) or ():
            place = f'{_HERE}.{edge or name}.{part}.{key}.'
            own = f'model.distiller.{part}.{key}_{name}.'
            if message.startswith(own):
                return place + message.removeprefix(own)
            # One of all teachers, whose sources the edges name.
            shared = f'model.distiller.{part}.{key}.source.{name}:'
            if message.startswith(shared):
                return f'{place}source:{message.removeprefix(shared)}'
    return message
