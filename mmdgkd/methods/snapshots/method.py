# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Snapshots in a chain: networks that one training leaves on its way."""
import copy
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.config import Config

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import Method, methods_of, register_method
from mmdgkd.chain.splits import split_of
from mmdgkd.chain.training_settings import ends_early
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import parent_of
from mmdgkd.models.teachers.teacher_input import read_input
from .snapshot_hook import snapshot_file


@register_method
class Snapshots(Method):
    """A network as it was in the middle of its training.

    Huang et al., "Snapshot Ensembles: Train 1, Get M for Free" (ICLR 2017,
    arXiv 1704.00109), take them at the minima of a cyclic rate; which rate a
    stage has is here up to its config.
    """

    def more_entries(self, name: str,
                     entry: Mapping[str, Any]) -> Dict[str, Mapping]:
        """Read ``snapshots``, fractions of the training of a network.

        Each but 1, the network itself, is an entry after it, the latest
        first: as in all of the chain the best come first.

        Raises:
            ConfigError: For a wrong fraction, two of one name, or a network
                that is not trained.
        """
        if not isinstance(entry, Mapping) or 'snapshots' not in entry:
            return {name: entry}
        here, fractions = f'chain.networks.{name}.snapshots', entry[
            'snapshots']
        if not isinstance(fractions or (), (list, tuple)):
            raise ConfigError(f'{here}: {fractions!r} must be a list of '
                              'fractions of the training, such as [0.5, 0.75]')
        if fractions and entry.get('ckpt_path'):
            raise ConfigError(f'{here}: "{name}" has a ckpt_path, so that '
                              'there is no training to take them from')
        entries: Dict[str, Mapping] = {
            name: {
                key: value
                for key, value in entry.items() if key != 'snapshots'
            }
        }
        for at in sorted((_fraction(at, here) for at in fractions or ()),
                         reverse=True):
            if at == 1:
                continue
            own = f'{name}_{round(100 * at)}'
            if own in entries:
                raise ConfigError(
                    f'{here}: {list(fractions)} has two named "{own}"; leave '
                    'one out, or name it by an entry '
                    f'dict(snapshot_of={name!r}, at={at})')
            entries[own] = dict(snapshot_of=name, at=at)
        return entries

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Read ``snapshot_of``, the network, and ``at``, when.

        Raises:
            ConfigError: For a wrong fraction, or a network that is not
                trained, or not by itself.
        """
        if 'snapshot_of' not in entry:
            return None
        parent = parent_of(name, entry, ('snapshot_of', 'at', 'input'), before)
        here = f'chain.networks.{name}'
        _check_parent(parent, f'{here}.snapshot_of')
        if _fraction(entry.get('at'), f'{here}.at') == 1:
            raise ConfigError(f'{here}.at: 1 is "{parent.name}" itself; leave '
                              'that out')
        # It is tested and deployed as its parent is.
        return Network(
            name,
            copy.deepcopy(dict(parent.model)),
            stage=parent.stage,
            part_of=parent.name,
            part=dict(snapshot_of=parent.name, at=entry['at']),
            input=read_input(entry.get('input'), f'{here}.input')
            or parent.input)

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Have the stage of a network keep its snapshots.

        Raises:
            ConfigError: If one is at no step within the training, two are at
                the same, or one would be the teacher in place of its network;
                or if the training may end before them.
        """
        if chain.guidance == 'sequential':
            for teacher in map(chain.__getitem__, chain.teachers[name]):
                if 'snapshot_of' in (teacher.part or {}):
                    raise ConfigError(
                        "chain.guidance: 'sequential' would teach "
                        f'"{name}" by "{teacher.name}", a snapshot of '
                        f'"{teacher.part_of}"; give it as a mapping, such as '
                        f'{{{name!r}: [{teacher.part_of!r}]}}, or leave the '
                        'snapshots out')
        steps: Dict[int, str] = {}
        for network in chain.networks:
            if network.part_of == name and 'snapshot_of' in network.part:
                unit, step = _step(network, stage)
                if step in steps:
                    raise ConfigError(
                        f'chain.networks.{name}: its snapshots '
                        f'"{steps[step]}" and "{network.name}" are both of '
                        f'{unit} {step}; leave one out')
                steps[step] = network.name
        if steps:
            if ends_early(stage):
                raise ConfigError(
                    f'chain.networks.{name}: its training may end before its '
                    f'snapshots ({", ".join(steps.values())}) by an '
                    'EarlyStoppingHook; leave one of both out')
            hook = dict(
                type='mmrazor.SnapshotHook',
                steps=sorted(steps),
                split=split_of(chain, name))
            stage.custom_hooks = [*(stage.get('custom_hooks') or ()), hook]

    def part_file(self, network: Network, stage: Config) -> Optional[str]:
        """The file of a snapshot, in the folder of the stage."""
        if 'snapshot_of' not in network.part:
            return None
        return snapshot_file(stage.work_dir, *_step(network, stage))


def _fraction(value: Any, here: str) -> float:
    if (isinstance(value, bool) or not isinstance(value, (int, float))
            or not 0 < value <= 1):
        raise ConfigError(f'{here}: {value!r} must be a fraction of the '
                          'training, above 0 and at most 1')
    return value


def _check_parent(parent: Network, here: str) -> None:
    """Check that the training of a network has it at any time."""
    if parent.ckpt_path:
        raise ConfigError(f'{here}: "{parent.name}" has a ckpt_path, so that '
                          'there is no training to take them from')
    if parent.part_of:
        raise ConfigError(f'{here}: "{parent.name}" is trained within '
                          f'"{parent.part_of}"; name a network with a stage '
                          'of its own')
    if methods_of(parent.model):
        raise ConfigError(
            f'{here}: "{parent.name}" is a {parent.model["type"]}, of which '
            'only the end of its training leaves a network; name a plain one')


def _step(network: Network, stage: Config) -> Tuple[str, int]:
    """When a snapshot is taken: 'epoch' or 'iter', and after how many."""
    here = f'chain.networks.{network.name}.at'
    loop: Mapping[str, Any] = stage.get('train_cfg') or {}
    unit = 'iter' if 'max_iters' in loop else 'epoch'
    total = loop.get(f'max_{unit}s')
    if not isinstance(total, int):
        raise ConfigError(f'{here}: train_cfg of "{network.part_of}" has no '
                          'max_epochs and no max_iters, of which it is a part')
    step = round(network.part['at'] * total)
    if not 0 < step < total:
        raise ConfigError(
            f'{here}: {network.part["at"]} of {total} {unit}s is {unit} '
            f'{step}, and should be from 1 to {total - 1}')
    return unit, step
