# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weigh the teachers of a network in a work dir."""
import json
import os.path as osp
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmrazor.registry import MODELS

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.ledger import file_entry
from mmdgkd.chain.split_checks import check_holdout
from mmdgkd.chain.stage_config import merged_config
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import meta_of
from mmdgkd.fileio.files import atomic_write, can_write, disk_full_as_error
from mmdgkd.models.distillers.ensembles import Ensembles
from mmdgkd.utils.config import type_of, typed_parts
from .formatting import format_config, format_table, stacked_options
from .held_out_logits import held_out_logits
from .plot import plot_weighed
from .weighing import weigh

JSON, FIGURE = 'weigh.json', 'weigh.png'


def weigh_chain(cfg: Config,
                chain: Chain,
                work: WorkDir,
                loader: Mapping[str, Any],
                network: Optional[str] = None,
                teachers: Optional[Sequence[str]] = None,
                resamples: int = 200,
                seed: int = 0) -> str:
    """Say whether dense guidance can pay, by images that were held out.

    It writes ``weigh.json`` and ``weigh.png`` into the work dir.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): Its work dir.
        loader (Mapping): The config of a data loader of images that no teacher
            was trained on, in the same order each time.
        network (str, optional): The student; of one that is trained in the
            stage of another that one. Defaults to None: the last one.
        teachers (Sequence[str], optional): Some of the networks before it.
            Defaults to None: its teachers in the chain if it has two or more,
            all networks before it otherwise.
        resamples (int): For the intervals. Defaults to 200.
        seed (int): Seed of the resamples. Defaults to 0.

    Returns:
        str: What to print.

    Raises:
        ConfigError: If there is no such teacher, or one is not trained yet.
        TrainingError: If the disk is full.
    """
    network = chain.require(network or chain.names[-1], '--network').name
    # The losses of a part, such as a width, are those of its stage.
    network = chain.stage_of(network)
    names, which = _teachers(chain, network, teachers)
    unknown = _unknown(chain, work, names)
    with disk_full_as_error(work.path):
        logits = held_out_logits(cfg, chain, work, names, loader)
        found = dict(
            weigh(logits.logits, logits.labels, resamples, seed),
            network=network,
            files={name: _weights_of(work, name)
                   for name in names},
            unknown=unknown,
            caveat=_caveat(unknown))
        lines = [
            which,
            _source(logits),
            format_table(found), found['sentence'], found['caveat']
        ]
        lines = [line for line in lines if line]
        if len(names) > 1:
            lines += ['', *_for_config(cfg, chain, network, found)]
        if can_write(work.path):
            _write(work.path, found)
            lines += ['', f'written: {JSON} and {FIGURE} in {work.path}']
        else:
            lines += ['', f'nothing is written: {work.path} is read-only']
    return '\n'.join(lines)


def _teachers(chain: Chain, network: str,
              chosen: Optional[Sequence[str]]) -> Tuple[List[str], str]:
    """The networks to weigh, and, if they are not all, a line on why."""
    before = chain.names[:chain.names.index(network)]
    if not before:
        raise ConfigError(f'--network: "{network}" is the first of the chain; '
                          'it has no teachers to weigh')
    for name in chosen or ():
        if name not in before:
            raise ConfigError(f'--teachers: "{name}" is no network before '
                              f'"{network}"; possible: {", ".join(before)}')
    why = '--teachers'
    if chosen is None:
        chosen, why = chain.teachers[network], 'chain.guidance'
        if len(chosen) < 2:
            # One alone has nothing to be weighed against.
            return before, ''
    names = [name for name in before if name in chosen]
    rest = [name for name in before if name not in chosen]
    which = f'teachers of {network} by {why}: {", ".join(names)}'
    return names, f'{which}; not {", ".join(rest)}' if rest else ''


def _for_config(cfg: Config, chain: Chain, network: str,
                found: Mapping[str, Any]) -> List[str]:
    """The weights as lines of a config, or why there are none."""
    stage = merged_config(cfg, chain[network])
    distiller = (stage.get('model') or {}).get('distiller') or {}
    losses = {
        name: loss
        for name, loss in (distiller.get('distill_losses') or {}).items()
        if type_of(loss) == 'DenseKDLoss'
    }
    why = _why_no_lines(chain, distiller, losses, found)
    if why:
        return [f'no lines for the config of {network}: {why}']
    fits = tuple(found['teachers']) == tuple(chain.teachers[network])
    once = '' if fits else ', once these are its teachers (chain.guidance)'
    some = [name for name, each in found['teacher_weights'].items() if each]
    one = f'; it is KD from {some[0]} alone' if len(some) == 1 else ''
    return [
        f'for the config of {network}, with that of the chain as its _base_'
        f'{once}{one}:',
        format_config(found, network, next(iter(losses)))
    ]


def _why_no_lines(chain: Chain, distiller: Mapping, losses: Mapping[str, Any],
                  found: Mapping[str, Any]) -> str:
    """Why the loss would refuse the weights, or ''."""
    if not any(found['teacher_weights'].values()):
        return ('the weights of all teachers are 0; on the held-out images '
                'they are no better than a guess')
    perfect = [
        name for name, one in found['teachers'].items()
        if one['weight'] and not one['nll_calibrated']
    ]
    if perfect:
        return (f'{", ".join(perfect)} is sure and right on all held-out '
                'images, which tell nothing of its temperature')
    if not losses:
        return ('none of its distill_losses is a DenseKDLoss, which has '
                'weights of teachers')
    if any(
            type_of(part) == 'StandardizeConnector'
            for part in typed_parts(distiller.get('connectors'))):
        return ('its logits are standardized (StandardizeConnector), and the '
                'weights are of logits as they are')
    try:
        MODELS.build(
            dict(next(iter(losses.values())), **stacked_options(found)))
    except ConfigError as error:
        return str(error)
    together = Ensembles(distiller.get('ensembles'), chain.names)
    members = [name for name in found['teachers'] if together.of(name)]
    if not members:
        return ''
    return (f'{", ".join(members)} are in model.distiller.ensembles, and the '
            'loss has weights for '
            f'{", ".join(together.merge_names([*found["teachers"]]))}')


def _weights_of(work: WorkDir, name: str) -> str:
    """The sha256 of the file of a network; of a URL the address."""
    entry = file_entry(str(work.file_of(name)), work.path)
    return str(entry['sha256'] or entry['file'])


def _unknown(chain: Chain, work: WorkDir, names: Sequence[str]) -> List[str]:
    """The networks whose files do not tell what they were trained on."""
    unknown = []
    for name in names:
        path = work.file_of(name)
        if path is None:
            # Refused later.
            continue
        meta = meta_of(path, 'work_dir')
        if chain.holdout:
            check_holdout(chain, name, meta, path)
        if 'mmdgkd_version' not in meta:
            unknown.append(name)
    return unknown


def _caveat(unknown: Sequence[str]) -> str:
    if not unknown:
        return ''
    return (f'but whether {", ".join(unknown)} had the held-out images in '
            'training is not known, for its file says nothing; a teacher '
            'that has seen them looks better than it is')


def _source(logits: Any) -> str:
    parts = [f'held-out images: {len(logits.labels):,}']
    if logits.without_class:
        parts.append(f'without a class: {logits.without_class:,} more')
    for what in ('computed', 'cached'):
        names = getattr(logits, what)
        if names:
            parts.append(f'{what}: {", ".join(names)}')
    return '; '.join(parts)


def _write(folder: str, found: Dict[str, Any]) -> None:
    with atomic_write(osp.join(folder, JSON)) as file:
        file.write(json.dumps(found, indent=1) + '\n')
    with atomic_write(osp.join(folder, FIGURE), 'wb') as file:
        file.write(plot_weighed(found))
