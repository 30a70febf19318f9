# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The checkpoints of a stage: which one it goes on from."""
import logging
import os
import os.path as osp
import re
import zipfile
from typing import List, Optional, Tuple

from mmengine.logging import print_log

from mmdgkd.errors import ConfigError, TrainingError
from .checkpoint import checkpoint_meta
from .checksum import checksum_matches

_NAME = re.compile(r'(?:epoch|iter)_\d+\.pth')


def checkpoints_of(stage_dir: str) -> List[str]:
    """The checkpoint files in a folder, whatever is in them.

    Args:
        stage_dir (str): The folder of the stage.
    """
    names = os.listdir(stage_dir) if osp.isdir(stage_dir) else []
    return [
        osp.join(stage_dir, name) for name in sorted(names)
        if _NAME.fullmatch(name)
    ]


def sorted_checkpoints(stage_dir: str) -> List[str]:
    """The checkpoint files in a folder, the most advanced one first.

    Names do not tell: after a change of the settings some count epochs, and
    some iterations. Those that cannot be read come last.

    Args:
        stage_dir (str): The folder of the stage.
    """
    return sorted(checkpoints_of(stage_dir), key=_progress, reverse=True)


def remove_old_checkpoints(newest: str, num_kept: int) -> None:
    """Remove what a new checkpoint makes superfluous: older and damaged ones.

    A file that is whole, but cannot be read, is for its owner to look at.

    Args:
        newest (str): The checkpoint that was written last.
        num_kept (int): How many are kept, with it.

    Raises:
        TrainingError: If the new one cannot be read, so that nothing could go
            on from it. No other file is removed then.
    """
    try:
        checkpoint_meta(newest, 'default_hooks.checkpoint')
    except ConfigError as error:
        raise TrainingError(f'{error}; nothing could go on from it: a hook '
                            'has put something else into it') from None
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
    """The checkpoint from which a stage goes on.

    MMEngine notes its absolute path, but the folder may have moved since: the
    note is not needed. A damaged file is passed over with a warning.

    Args:
        stage_dir (str): The folder of the stage.

    Returns:
        str, optional: None if there is none.

    Raises:
        ConfigError: If a file is whole, but no checkpoint or more than data;
            or if all are damaged.
    """
    paths = checkpoints_of(stage_dir)
    # What cannot be read is damaged, or somebody has to look at it.
    strange = [path for path in paths if _progress(path) == (-1, -1)]
    damaged = [path for path in strange if _is_damaged(path)]
    for path in strange:
        if path not in damaged:
            checkpoint_meta(path, 'work_dir')
            raise ConfigError(
                f'work_dir: {path!r} is no checkpoint of a training: its meta '
                'has no iter and epoch; remove it')
    found = None
    for path in sorted_checkpoints(stage_dir):
        if path not in strange and _is_damaged(path):
            damaged.append(path)
        elif path not in strange:
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


def _is_damaged(path: str) -> bool:
    """Whether it is not what was written; all checkpoints are archives."""
    whole = checksum_matches(path)
    return whole is False or (whole is None and not zipfile.is_zipfile(path))


def _progress(path: str) -> Tuple[int, int]:
    try:
        meta = checkpoint_meta(path, 'work_dir')
        return int(meta['iter']), int(meta['epoch'])
    except (ConfigError, KeyError, TypeError, ValueError):
        return -1, -1
