# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The checkpoints of a stage: which one it goes on from."""
import logging
import os
import os.path as osp
import re
from typing import List, Optional, Tuple

from mmengine.logging import print_log

from mmdgkd.errors import ConfigError
from mmdgkd.fileio import checkpoint_meta, is_whole

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
    """Remove what a new checkpoint makes superfluous.

    Files that are more advanced than the newest one, or cannot be read, are
    what a run that has gone back has left behind: they go first.

    Args:
        newest (str): The checkpoint that was written last.
        num_kept (int): How many are kept, with it.
    """
    limit = _progress(newest)
    others = [
        path for path in sorted_checkpoints(osp.dirname(newest))
        if osp.abspath(path) != osp.abspath(newest)
    ]
    older = [path for path in others if (-1, -1) < _progress(path) <= limit]
    for path in others:
        if path not in older[:num_kept - 1]:
            os.remove(path)


def _progress(path: str) -> Tuple[int, int]:
    try:
        meta = checkpoint_meta(path, 'work_dir')
        return int(meta['iter']), int(meta['epoch'])
    except (ConfigError, KeyError, TypeError, ValueError):
        return -1, -1


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
    damaged = [
        path for path in checkpoints_of(stage_dir) if is_whole(path) is False
    ]
    whole = [
        path for path in sorted_checkpoints(stage_dir) if path not in damaged
    ]
    for path in whole:
        # A file that is refused is for its owner to look at.
        meta = checkpoint_meta(path, 'work_dir')
        for key in ('iter', 'epoch'):
            if not isinstance(meta.get(key), int):
                raise ConfigError(
                    f'work_dir: {path!r} is no checkpoint of a training: its '
                    f'meta has no {key}; remove it')
    for path in damaged:
        if not whole:
            raise ConfigError(
                f'work_dir: {path!r} is damaged, and there is no older '
                f'checkpoint; remove {stage_dir!r} to train the stage again')
        print_log(
            f'{path!r} is damaged; going on from {whole[0]!r}',
            logger='current',
            level=logging.WARNING)
    return whole[0] if whole else None
