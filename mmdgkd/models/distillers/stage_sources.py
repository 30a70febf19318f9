# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The sources of the recorders of a distiller, by network."""
import copy
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from mmdgkd.models.recorders.sources import (DEFAULT, check_source_names,
                                             source_for)
from mmdgkd.models.utils.logits import LOGITS
from mmdgkd.utils.config import type_of


def is_of_all(recorder: Mapping[str, Any]) -> bool:
    """Whether a recorder is one for all teachers.

    Args:
        recorder (Mapping): Its config.
    """
    return type_of(recorder) in ('MultiTeacherOutputs',
                                 'MultiTeacherOutputsRecorder')


def sources_in_stage(distiller: Mapping[str, Any], teachers: Sequence[str],
                     networks: Sequence[str],
                     name: Optional[str]) -> Dict[str, Any]:
    """A distiller with the source of each recorder in a stage.

    Args:
        distiller (Mapping): The template of a chain.
        teachers (Sequence[str]): The teachers of the stage.
        networks (Sequence[str]): All networks of the chain.
        name (str, optional): The network that is trained.

    Raises:
        ConfigError: If a mapping names no network.
    """
    distiller = copy.deepcopy(dict(distiller))
    for part, here, cfg in _recorders(distiller):
        if type_of(cfg) == 'ModuleOutputs' or is_of_all(cfg):
            cfg.setdefault('source', LOGITS)
        source = cfg.get('source')
        if not isinstance(source, Mapping):
            continue
        check_source_names(source, networks, f'{here}.source')
        if part == 'student_recorders':
            cfg['source'] = source_for(source, name)
        else:
            cfg['source'] = {
                key: source[key]
                for key in source if key in (DEFAULT, *teachers)
            }
    return distiller


def _recorders(
        distiller: Mapping[str,
                           Any]) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """All recorders of a distiller and its edges: part, key and config."""
    edges = distiller.get('edges')
    owners = {'model.distiller': distiller}
    for name, edge in edges.items() if isinstance(edges, Mapping) else ():
        owners[f'model.distiller.edges.{name}'] = edge
    for here, owner in owners.items():
        for part in ('student_recorders', 'teacher_recorders'):
            parts = owner.get(part) if isinstance(owner, Mapping) else None
            for key, cfg in parts.items() if isinstance(parts,
                                                        Mapping) else ():
                if isinstance(cfg, Mapping):
                    yield part, f'{here}.{part}.{key}', cfg
