# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Ensembles of teachers, each of which counts as one teacher."""
import math
import re
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown

MEANS = ('logits', 'probs')
_HERE = 'model.distiller.ensembles'


def ensemble_logits(logits: Sequence[torch.Tensor],
                    mean: str = 'logits',
                    tau: float = 1.0) -> torch.Tensor:
    """The logits of an ensemble.

    Args:
        logits (Sequence[torch.Tensor]): The logits of its members, each of
            shape (N, C).
        mean (str): ``'logits'``: their mean, whose softmax is, at any
            temperature, the geometric mean of the members' distributions;
            ``'probs'``: the arithmetic mean of these, ``tau log(mean of
            softmax(logits / tau))``. Section 2 of "Distilling the Knowledge in
            a Neural Network" (arXiv 1503.02531) names both.
            Defaults to ``'logits'``.
        tau (float): The temperature of ``'probs'``, that of the loss.
            Defaults to 1.0.

    Returns:
        torch.Tensor: Shape (N, C).
    """
    stacked = torch.stack(list(logits))
    if mean == 'logits':
        return stacked.mean(0)
    summed = (stacked / tau).log_softmax(-1).logsumexp(0)
    return tau * (summed - math.log(len(stacked)))


@dataclass(frozen=True)
class Ensemble:
    """One ensemble.

    Args:
        members (tuple[str]): Its teachers.
        mean (str): See :func:`ensemble_logits`.
        tau (float): See :func:`ensemble_logits`.
    """

    members: Tuple[str, ...]
    mean: str = 'logits'
    tau: float = 1.0


class Ensembles:
    """The ensembles of a stage or a chain, and the teachers in them.

    Args:
        cfg (Mapping, optional): By ensemble its members, a list of teachers,
            or a dict with ``members``, ``mean`` and ``tau``.
        names (Sequence[str]): All teachers.

    Raises:
        ConfigError: If a member is no teacher, or in two ensembles; or for a
            wrong name, mean or temperature.
    """

    def __init__(self, cfg: Any, names: Sequence[str]) -> None:
        if not isinstance(cfg or {}, Mapping):
            raise ConfigError(f'{_HERE}: is {cfg!r}, should be a dict, '
                              'ensemble -> list of its members')
        # By name, as teachers are: MMEngine sorts the keys that it writes.
        self.all = {
            name: _read(name, cfg[name], names)
            for name in sorted(cfg or {})
        }
        self._of: Dict[str, str] = {}
        for name, ensemble in self.all.items():
            for member in ensemble.members:
                if member in self._of:
                    raise ConfigError(f'{_HERE}.{name}: "{member}" is in '
                                      f'{self._of[member]}, too; a teacher '
                                      'can be in one ensemble')
                self._of[member] = name

    def of(self, name: str) -> Optional[str]:
        """The ensemble of a teacher, if it is in one.

        Args:
            name (str): The teacher.
        """
        return self._of.get(name)

    def merge_names(self, names: Sequence[str]) -> List[str]:
        """The names of outputs after :meth:`merge`.

        Args:
            names (Sequence[str]): The active teachers.

        Returns:
            list[str]: Teachers that are in no ensemble, and ensembles with an
            active member.
        """
        return list(dict.fromkeys(self._of.get(name, name) for name in names))

    def in_stage(self, distiller: Mapping[str, Any],
                 teachers: Sequence[str]) -> Dict[str, Any]:
        """A distiller's config with those ensembles that a stage has.

        Args:
            distiller (Mapping): The template of a chain.
            teachers (Sequence[str]): The teachers of the stage.
        """
        left = {}
        for name, ensemble in self.all.items():
            members = [one for one in ensemble.members if one in teachers]
            if members:
                left[name] = dict(
                    members=members, mean=ensemble.mean, tau=ensemble.tau)
        rest = {k: v for k, v in distiller.items() if k != 'ensembles'}
        return dict(rest, ensembles=left) if left else rest

    def check_recorders(self, recorders: Mapping[str, Any]) -> None:
        """Refuse to record a module of an ensemble.

        Args:
            recorders (Mapping[str, BaseRecorder]): The teacher recorders.

        Raises:
            ConfigError: If one has such a source.
        """
        for key, recorder in recorders.items():
            name = str(getattr(recorder, 'source', '')).split('.')[0]
            if name in self.all:
                raise ConfigError(
                    f'{_HERE}.{name}: is a mean of logits and has no modules, '
                    f'as {key} wants them; the recorder of its edge must have '
                    "type='mmrazor.MultiTeacherOutputs'")

    def pick(self, outputs: Mapping[str, Any], name: str) -> Any:
        """The output of one teacher, or one ensemble.

        Args:
            outputs (Mapping[str, Any]): The record of each active teacher.
            name (str): The teacher or the ensemble.
        """
        if name not in self.all:
            return outputs[name]
        members = self.all[name].members
        return self.merge({k: outputs[k]
                           for k in outputs if k in members})[name]

    def merge(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the outputs of members by the logits of their ensemble.

        Args:
            outputs (Mapping[str, torch.Tensor]): The logits of each active
                teacher, shape (N, C).

        Returns:
            dict[str, torch.Tensor]: By teacher or ensemble. An ensemble is the
            mean of its active members.

        Raises:
            ConfigError: If the records of members are no logits.
        """
        if not self.all:
            return outputs
        parts: Dict[str, List] = {}
        for name, data in outputs.items():
            parts.setdefault(self._of.get(name, name), []).append(data)
        merged = {}
        for name, data in parts.items():
            if name not in self.all:
                merged[name], = data
                continue
            shapes = {tuple(getattr(one, 'shape', ())) for one in data}
            if len(shapes) > 1 or len(min(shapes)) != 2:
                raise ConfigError(
                    f'{_HERE}.{name}: is a mean of logits, all of one shape '
                    f'(N, C), not of {", ".join(map(str, sorted(shapes)))}')
            ensemble = self.all[name]
            merged[name] = ensemble_logits(data, ensemble.mean, ensemble.tau)
        return merged


def check_name(name: Any, here: str) -> None:
    """Refuse names that cannot name a folder, a module or a logged value.

    Args:
        name (Any): The name of a network or an ensemble.
        here (str): Its config key, for the message.

    Raises:
        ConfigError: If it is no such name.
    """
    if not re.fullmatch(r'[A-Za-z0-9_-]+', str(name)) or 'loss' in str(name):
        raise ConfigError(
            f'{here}: a name is made of letters, digits, "_" and "-", without '
            'the word "loss" (MMEngine adds up all logged values with it)')
    if iskeyword(str(name)):
        raise ConfigError(f'{here}: "{name}" is a word of Python, in which '
                          'configs are written; choose another')
    if hasattr(nn.ModuleDict(), str(name)):
        raise ConfigError(f'{here}: "{name}" is an attribute of every module '
                          'of PyTorch, which can name no network; choose '
                          'another')


def _read(name: str, cfg: Any, names: Sequence[str]) -> Ensemble:
    here = f'{_HERE}.{name}'
    check_name(name, here)
    if name in names:
        raise ConfigError(f'{here}: is the name of a network, too; choose '
                          'another')
    cfg = dict(cfg) if isinstance(cfg, Mapping) else dict(members=cfg)
    refuse_unknown(cfg, ('members', 'mean', 'tau'), here)
    members = cfg.get('members')
    if not isinstance(members, (list, tuple)) or not members:
        raise ConfigError(f'{here}: {members!r} should be a list of teachers')
    for member in members:
        if member not in names:
            raise ConfigError(f'{here}: {member!r} is no teacher; there are '
                              f'{", ".join(names)}')
    if cfg.get('mean', 'logits') not in MEANS:
        raise ConfigError(f'{here}.mean: {cfg["mean"]!r} is none of '
                          f'{", ".join(MEANS)}')
    tau = cfg.get('tau', 1.0)
    if type(tau) not in (int, float) or not tau > 0:
        raise ConfigError(f'{here}.tau: {tau!r} should be above 0')
    return Ensemble(
        tuple(sorted(set(members))), cfg.get('mean', 'logits'), tau)
