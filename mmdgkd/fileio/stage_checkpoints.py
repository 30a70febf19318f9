# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Find, order and remove the checkpoints of a stage."""
import logging
import os
import os.path as osp
import re
import zipfile
from numbers import Integral
from typing import Any, List, Mapping, Optional, Tuple

from mmengine.logging import print_log

from mmdgkd.errors import ConfigError, TrainingError
from .checkpoint import checkpoint_meta
from .checksum import checksum_matches

_NAME = re.compile(r'(?:epoch|iter)_\d+\.pth')
# What a trained network is written as, too.
_ENDINGS = ('.pth', '.safetensors')
# Counters in the meta of a checkpoint; MMEngine's own have but two, and seed.
_COUNTERS = ('batches', 'epoch_length', 'processes', 'seed')


def checkpoints_of(stage_dir: str) -> List[str]:
    """List the checkpoint files in a folder, readable or not.

    Args:
        stage_dir (str): The folder of the stage.

    Raises:
        ConfigError: If it is a file, or has a folder or a broken link under
            such a name: the training could not write there.
    """
    if osp.lexists(stage_dir) and not osp.isdir(stage_dir):
        raise ConfigError(f'work_dir: {stage_dir!r} is no folder; remove it, '
                          'or choose another --work-dir')
    names = os.listdir(stage_dir) if osp.isdir(stage_dir) else []
    for name in sorted(names):
        path = osp.join(stage_dir, name)
        kept = name.endswith(_ENDINGS) or name == 'last_checkpoint'
        # One that another rank has removed since is neither.
        if kept and not osp.isfile(path) and osp.lexists(path):
            raise ConfigError(f'work_dir: {path!r} has the name of a '
                              'checkpoint, but is no file; remove it')
    return [
        osp.join(stage_dir, name) for name in sorted(names)
        if _NAME.fullmatch(name)
    ]


def has_position(meta: Any) -> bool:
    """Whether the meta of a checkpoint has the position of a training.

    That is its ``iter`` and ``epoch``, as integers. So are the other counters,
    where there are any.

    Args:
        meta (Any): The meta.
    """
    if not isinstance(meta, Mapping):
        return False
    counters = [meta.get('iter'), meta.get('epoch')]
    counters += [meta[key] for key in _COUNTERS if meta.get(key) is not None]
    return all(
        isinstance(count, Integral) and not isinstance(count, bool)
        and 0 <= count < 2**63 for count in counters)


def sorted_checkpoints(stage_dir: str) -> List[str]:
    """List the checkpoint files in a folder, the most advanced one first.

    The order is that of their meta: after a change of the settings some names
    count epochs, and some iterations. Unreadable files come last.

    Args:
        stage_dir (str): The folder of the stage.
    """
    return sorted(checkpoints_of(stage_dir), key=_progress, reverse=True)


def remove_old_checkpoints(newest: str, num_kept: int) -> None:
    """Remove the checkpoints that a new one replaces: older and damaged ones.

    An intact file that cannot be read is left to its owner.

    Args:
        newest (str): The checkpoint that was written last.
        num_kept (int): How many are kept, the new one included.

    Raises:
        TrainingError: If the new one cannot be read, so that no run could
            resume from it. No other file is removed then.
    """
    try:
        checkpoint_meta(newest, 'default_hooks.checkpoint')
    except ConfigError as error:
        raise TrainingError(
            f'{error}; no run could resume from it: a hook has '
            'added something else to it') from None
    limit = _progress(newest)
    others = [
        path for path in sorted_checkpoints(osp.dirname(newest))
        if osp.abspath(path) != osp.abspath(newest)
    ]
    older = [path for path in others if (-1, -1) < _progress(path) <= limit]
    for path in others:
        if path in older[num_kept - 1:] or checksum_matches(path) is False:
            os.remove(path)


def latest_checkpoint(stage_dir: str) -> Optional[str]:
    """Find the checkpoint from which a stage goes on.

    MMEngine's own note of it is an absolute path, and the folder may have
    moved: it is not used. A damaged file is skipped with a warning.

    Args:
        stage_dir (str): The folder of the stage.

    Returns:
        str, optional: None if there is none.

    Raises:
        ConfigError: If an intact file is no checkpoint, or more than data; if
            all files are damaged; or as :func:`checkpoints_of`.
    """
    paths = checkpoints_of(stage_dir)
    # Unreadable: damaged, or an error that the user must see.
    unreadable = [path for path in paths if _progress(path) == (-1, -1)]
    damaged = [path for path in unreadable if is_damaged(path)]
    for path in unreadable:
        if path not in damaged:
            checkpoint_meta(path, 'work_dir')
            raise ConfigError(
                f'work_dir: {path!r} is no checkpoint of a training: its meta '
                'has no iter and epoch that are integers; remove it to go on '
                'from the one before')
    found = None
    for path in sorted_checkpoints(stage_dir):
        if path not in unreadable and is_damaged(path):
            damaged.append(path)
        elif path not in unreadable:
            found = path
            break
    for path in damaged:
        if found is None:
            raise ConfigError(
                f'work_dir: {path!r} is damaged, and there is no older '
                f'checkpoint; remove {stage_dir!r} to train the stage again')
        print_log(
            f'{path!r} is damaged; going on from {found!r}',
            logger='current',
            level=logging.WARNING)
    return found


def is_damaged(path: str) -> bool:
    """Whether the checksum does not match; all checkpoints are archives.

    Args:
        path (str): A checkpoint.
    """
    try:
        intact = checksum_matches(path)
    except OSError:
        return False  # reading it says why
    return intact is False or (intact is None and not zipfile.is_zipfile(path))


def _progress(path: str) -> Tuple[int, int]:
    try:
        meta = checkpoint_meta(path, 'work_dir')
    except ConfigError:
        return -1, -1
    if not has_position(meta):
        return -1, -1
    return int(meta['iter']), int(meta['epoch'])
