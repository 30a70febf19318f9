# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether what was trained of a stage still fits the config and the files."""
import logging
import os.path as osp
from typing import Any, List

from mmengine.config import Config
from mmengine.logging import print_log

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import sha256_of
from .ledger import file_entry
from .training_settings import differences, fingerprint, needs_validation
from .use import same_weights


def check_config(work: Any, name: str) -> None:
    """Refuse another config than that with which the stage began.

    Args:
        work (WorkDir): The work dir.
        name (str): The network of the stage.

    Raises:
        ConfigError: If what was trained depends on a difference.
    """
    folder, entry = work.folder(name), work.ledger[name]
    if entry['state'] not in ('running', 'done'):
        raise ConfigError(
            f'{folder!r}: holds a training of which chain.json knows '
            'nothing; remove it, or choose another --work-dir')
    for key, value in work.chain[name].part_facts.items():
        if entry.get(key) != value:
            raise ConfigError(
                f'{folder!r}: was trained with {key}={entry.get(key)}, not'
                f' {value}; take that back, or remove this folder')
    stage = work.stage_config(name)
    if entry['config_sha256'] == fingerprint(stage):
        return
    lines = _all_lines(osp.join(folder, 'config.py'), stage)
    longer = [line for line in lines if line[:10] == 'train_cfg.']
    if entry['state'] == 'running':
        # The checkpoint does not fix the length of the training.
        lines = [line for line in lines if line not in longer]
    lines = _without_validation(work, name, stage, lines)
    if lines:
        more = f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''
        advice = (
            'choose another --work-dir, and begin there from its weights, '
            f"init_cfg=dict(type='Pretrained', checkpoint="
            f'{work.own_file(name)!r}) in chain.networks.{name}.model'
            if lines == longer else 'choose another --work-dir')
        raise ConfigError(
            f'{folder!r}: was trained with another config: '
            f'{lines[0]}{more}; take that back, {advice}, or remove this '
            'folder to train the stage again')


def _all_lines(old: str, stage: Config) -> List[str]:
    """The differences from the config with which the stage began."""
    if not osp.exists(old):
        return ['config.py is gone, so that the difference is not known']
    try:
        lines = differences(Config.fromfile(old), stage)
    except Exception as error:
        return [
            'config.py does not load, so that the difference is not known '
            f'({type(error).__name__})'
        ]
    return lines or ['config.py was edited']


def _without_validation(work: Any, name: str, stage: Config,
                        lines: List[str]) -> List[str]:
    """The differences without those that change no weights, with a warning."""
    entry = work.ledger[name]
    validation = [line for line in lines if line[:4] == 'val_']
    best = work.chain[name].use == 'best'
    if not validation or (best and entry['state'] == 'running'
                          or needs_validation(stage)):
        return lines
    rest = ('its best weights stay those of before'
            if best else 'its weights do not depend on them')
    print_log(
        f'{work.folder(name)!r}: was validated by other settings before: '
        f'{validation[0]}; {rest}',
        logger='current',
        level=logging.WARNING)
    if entry['state'] == 'running':
        # The best of two validations would be of neither.
        entry.pop('metric', None)
    return [line for line in lines if line not in validation]


def check_teachers(work: Any, name: str, fresh: List[str]) -> None:
    """Refuse to keep a stage whose teachers have changed.

    Args:
        work (WorkDir): The work dir.
        name (str): The network of the stage.
        fresh (list[str]): Those of which there is nothing in the work dir.

    Raises:
        ConfigError: If one has changed, or is gone.
    """
    rest = (f'choose another --work-dir, or remove {work.folder(name)!r} '
            'to train that stage again')
    for teacher, read in work.ledger[name].get('read', {}).items():
        given = work.ledger[teacher]['state'] == 'given'
        if given and not work.chain[teacher].ckpt_path:
            raise ConfigError(
                f'chain.networks.{teacher}.ckpt_path: is missing, but '
                f'"{name}" was trained with {read["file"]!r}; put it '
                f'back, {rest}')
        if teacher in fresh:
            role = 'a teacher of' if teacher in work.chain.teachers[
                name] else 'the beginning of'
            raise ConfigError(
                f'{work.folder(teacher)!r}: is gone, but "{teacher}" was '
                f'{role} "{name}"; put it back, {rest}')
        path = work.file_of(teacher)
        if path is None:
            continue  # it is written again from its checkpoint
        now = file_entry(path, work.path)
        if now['sha256'] != read['sha256'] or (now['sha256'] is None and
                                               now['file'] != read['file']):
            raise ConfigError(
                f'{path!r}: has changed since the stage "{name}" was '
                f'trained with it; put it back, {rest}')


def is_intact(work: Any, name: str) -> bool:
    """Whether a stage is done, with the weights of its ``use``.

    Args:
        work (WorkDir): The work dir.
        name (str): The network of the stage.

    Raises:
        ConfigError: If its file is not the one that was trained.
    """
    entry, path = work.ledger[name], work.own_file(name)
    if entry['state'] != 'done' or not osp.exists(path):
        return False
    if not (work.chain[name].part_of
            or same_weights(entry, work.chain[name].use)):
        return False
    if sha256_of(path) != entry['wrote']['sha256']:
        raise ConfigError(
            f'{path!r}: is not the file that was trained (its sha256 '
            'differs from chain.json); put it back, or remove '
            f'{work.folder(name)!r} to train it again')
    return True
