# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``chain.json``: what a work dir holds, and how it was trained."""
import contextlib
import fcntl
import json
import math
import os.path as osp
from typing import (Any, Collection, Dict, Iterator, List, Mapping, Optional,
                    Sequence)

from mmengine.dist import is_main_process

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write, sha256_of, without_locks
from mmdgkd.utils.metrics import rule_of
from .chain import Chain
from .ledger_schema import VERSION, read_ledger

# Of a stage what the chain says, and no training.
_OF_CHAIN = {'state', 'guides', 'params', 'macs'}


class Ledger:
    """The record of a chain in its work dir.

    Each stage has the ``state`` (pending, running, done; or given, with a
    ``ckpt_path``), the teachers as ``guides``, the ``metric`` (name, best,
    last and every validation; ``best`` is None where it is not known which
    of two values is better), the ``seconds`` of training, the lookups of the
    logit ``store``, the ``params`` and ``macs`` of the network, the
    ``environment`` (versions and device), the ``width`` of a network that is a
    width of another, the share ``at`` of its training at which one was taken,
    the ``use`` of the weights that it wrote, unless it is the last, the sha256
    of its config, and of each file that it ``read`` and ``wrote``. All ranks
    read the ledger, the first one writes it.

    Args:
        work_dir (str): The work dir of the chain.
        data (dict): The content of the file.
        own (Collection[str], optional): The stages of this process; others
            write what they have trained of the rest. Defaults to None: all.
    """

    def __init__(self,
                 work_dir: str,
                 data: Dict,
                 own: Optional[Collection[str]] = None) -> None:
        self.work_dir = work_dir
        self.data = data
        self._own = own

    @classmethod
    def open(cls,
             work_dir: str,
             chain: Chain,
             own: Optional[Collection[str]] = None) -> 'Ledger':
        """Read the ledger of a work dir, or make a new one in memory.

        Args:
            work_dir (str): The work dir.
            chain (Chain): The chain that it must hold.
            own (Collection[str], optional): See the class. Defaults to None.

        Raises:
            ConfigError: If it holds other networks, or cannot be read.
        """
        path = osp.join(work_dir, 'chain.json')
        if not osp.exists(path):
            stages = {
                network.name:
                dict(
                    state='given' if network.ckpt_path else 'pending',
                    guides=list(chain.teachers[network.name]))
                for network in chain.networks
            }
            return cls(work_dir, dict(version=VERSION, stages=stages), own)
        data = read_ledger(path)
        held = [
            name for name in data['stages']
            if data['stages'][name]['guides'] is not None
        ]
        ledger = cls(work_dir, data, own)
        if held != chain.names:
            ledger._refuse(chain)
        return ledger

    def check_teachers(self, chain: Chain) -> None:
        """Check that the networks have the teachers of the chain.

        Args:
            chain (Chain): The chain.

        Raises:
            ConfigError: If they were trained with others.
        """
        for name in chain.names:
            if self[name]['guides'] != list(chain.teachers[name]):
                self._refuse(chain)

    def _refuse(self, chain: Chain) -> None:
        held = {
            name: entry['guides']
            for name, entry in self.data['stages'].items()
        }
        raise ConfigError(
            f'work_dir: {self.work_dir!r} holds another chain '
            f'({_format_teachers(held)}) than this config '
            f'({_format_teachers(chain.teachers)}); choose another --work-dir')

    def __getitem__(self, name: str) -> Dict[str, Any]:
        return self.data['stages'][name]

    def clear(self, name: str) -> None:
        """Forget what a training of before has left of a stage.

        Args:
            name (str): The stage.
        """
        entry = self[name]
        for key in entry.keys() - _OF_CHAIN:
            del entry[key]

    @property
    def path(self) -> str:
        """The path of the file."""
        return osp.join(self.work_dir, 'chain.json')

    def update(self, name: Optional[str] = None, **entries: Any) -> None:
        """Set entries of a stage, or of the chain, and write the file.

        Args:
            name (str, optional): The stage. Defaults to None: the chain.
            **entries (Any): Values that JSON can hold.
        """
        (self.data if name is None else self[name]).update(entries)
        if is_main_process():
            with self._others_read(), atomic_write(self.path) as file:
                file.write(json.dumps(self.data, indent=1) + '\n')

    @contextlib.contextmanager
    def _others_read(self) -> Iterator[None]:
        """Read what others have written; they cannot in this context."""
        if self._own is None:
            yield
            return
        with open(osp.join(self.work_dir, '.chain.json.lock'), 'a') as lock:
            with without_locks(lock.name):
                fcntl.lockf(lock, fcntl.LOCK_EX)
            if osp.exists(self.path):
                found, stages = read_ledger(self.path), self.data['stages']
                for name in stages.keys() - self._own:
                    stages[name] = found['stages'][name]
            yield

    def record(self,
               name: str,
               metric: str,
               step: int,
               value: float,
               rule: Optional[str] = None) -> None:
        """Note a validation of a stage.

        Args:
            name (str): The stage.
            metric (str): Name of the metric.
            step (int): The epoch, or iteration, after which it was measured.
            value (float): The metric.
            rule (str, optional): Which of two values is better, ``'greater'``
                or ``'less'``. Defaults to None: see :func:`rule_of`.
        """
        held = self[name].get('metric', {})
        # Those of another metric are no history of this one.
        before = held['history'] if held.get('name') == metric else []
        history = [point for point in before if point[0] < step]
        history.append([step, value])
        self._set_history(name, metric, history, rule)

    def rewind(self, name: str, step: int) -> bool:
        """Remove the validations after a step, from which training resumes.

        Args:
            name (str): The stage.
            step (int): The epoch, or iteration, of the checkpoint.

        Returns:
            bool: Whether the validation at that step is known.
        """
        metric = self[name].get('metric', {})
        history = [
            point for point in metric.get('history', []) if point[0] <= step
        ]
        if metric:
            self._set_history(name, metric['name'], history,
                              metric.get('rule'))
        return any(point[0] == step for point in history)

    def _set_history(self, name: str, metric: str, history: List,
                     rule: Optional[str]) -> None:
        better = dict(greater=max, less=min).get(rule or rule_of(metric))
        # A NaN compares with nothing.
        known = [point for point in history if math.isfinite(point[1])]
        best = better(
            known, key=lambda point: point[1]) if (known
                                                   and better) else [None] * 2
        self.update(
            name,
            metric=dict(
                name=metric,
                best=best[1],
                best_at=best[0],
                last=history[-1][1] if history else None,
                history=history,
                **(dict(rule=rule) if rule else {})))


def file_entry(path: str, work_dir: str) -> Dict[str, Optional[str]]:
    """The entry of a file in the ledger: its path and its sha256.

    Args:
        path (str): The file, or a URL, which has no sha256.
        work_dir (str): Paths within it are relative to it.
    """
    if '://' in path:
        return dict(file=path, sha256=None)
    inside = osp.relpath(path, work_dir)
    return dict(
        file=path if inside.startswith('..') else inside,
        sha256=sha256_of(path))


def _format_teachers(teachers: Mapping[str, Sequence[str]]) -> str:
    return '; '.join(f'{name} <- {", ".join(by)}' if by else name
                     for name, by in teachers.items())
