# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the command line of ``mmdgkd new`` says."""
import os.path as osp
import re
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

from mmdgkd.errors import ConfigError

_NO_TAS = 'none'
# More would not fit into the lines of a config.
MOST_TAS = 5


@dataclass(frozen=True)
class Options:
    """The checked command line of ``mmdgkd new``.

    Args:
        config (str): The file to write.
        data (str): A folder of images, or the name of a data set.
        teacher (str): The name of the teacher's model.
        student (str): That of the student's.
        teacher_ckpt (str, optional): The file of the teacher's weights; it is
            then not trained. Defaults to None.
        teacher_classes (str, optional): The file of the names of its classes,
            where these are others than those of the images. Defaults to None.
        num_tas (int, optional): How many TAs to propose. Defaults to None:
            one, if there is any.
        tas (tuple[str]): The names of TAs that are chosen.
        epochs (int, optional): Of each stage. Defaults to None: by the data.
        size (int, optional): Edge of the images in pixels. Defaults to None:
            by the images.
        data_root (str, optional): Where a named data set is.
        pretrained (bool): Whether training begins from the weights of the
            model zoos. Defaults to False.
        seed (int): Of the split. Defaults to 0.
        val_share (float): The share of each class that validates, where the
            folder is not split. Defaults to 0.2.
        force (bool): Whether to overwrite. Defaults to False.
        rehearsal (bool): Whether to rehearse it. Defaults to True.

    Raises:
        ConfigError: For a value that has no meaning, and for a file that
            exists.
    """

    config: str
    data: str
    teacher: str
    student: str
    teacher_ckpt: Optional[str] = None
    teacher_classes: Optional[str] = None
    num_tas: Optional[int] = None
    tas: Tuple[str, ...] = ()
    epochs: Optional[int] = None
    size: Optional[int] = None
    data_root: Optional[str] = None
    pretrained: bool = False
    seed: int = 0
    val_share: float = 0.2
    force: bool = False
    rehearsal: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r'\w[\w.-]*\.py', osp.basename(self.config)):
            raise ConfigError(f'CONFIG: {self.config!r} should be the name of '
                              'a Python file, such as pets.py')
        if not osp.isdir(osp.dirname(osp.abspath(self.config))):
            raise ConfigError(f'CONFIG: there is no folder '
                              f'{osp.dirname(self.config)!r}')
        if osp.isdir(self.config):
            raise ConfigError(f'CONFIG: {self.config!r} is a folder')
        for path in (self.config, self.split):
            if osp.exists(path) and not self.force:
                raise ConfigError(f'CONFIG: {path!r} exists; choose another '
                                  'name, or add --force to write over it')
        for flag, path in (('ckpt', self.teacher_ckpt),
                           ('classes', self.teacher_classes)):
            if path and not osp.isfile(path):
                raise ConfigError(f'--teacher-{flag}: there is no file '
                                  f'{path!r}')
        if self.teacher_classes and not self.teacher_ckpt:
            raise ConfigError('--teacher-classes: are those of a '
                              '--teacher-ckpt; give that, too')
        if self.data_root and not osp.isdir(self.data_root):
            raise ConfigError('--data-root: there is no folder '
                              f'{self.data_root!r}')
        for key, least in (('epochs', 1), ('size', 8), ('seed', 0)):
            _check_int(f'--{key}', getattr(self, key), least)
        if not 0 < self.val_share < 1:
            raise ConfigError(f'--val-share: {self.val_share!r} must be '
                              'between 0 and 1, such as 0.2')

    @property
    def split(self) -> str:
        """The folder of the lists of images, beside the config."""
        return f'{osp.splitext(self.config)[0]}_split'

    @property
    def work_dir(self) -> str:
        """Where ``mmdgkd train`` writes by default."""
        name = osp.splitext(osp.basename(self.config))[0]
        return osp.join('work_dirs', name)


def number_of(flag: str, text: Any, kind: type = int) -> Any:
    """Read a number of the command line.

    Args:
        flag (str): Its flag, for the message.
        text (str, optional): As typed.
        kind (type): int or float. Defaults to int.

    Raises:
        ConfigError: If it is none.
    """
    try:
        return None if text is None else kind(text)
    except ValueError:
        what = 'an integer' if kind is int else 'a number'
        raise ConfigError(f'{flag}: {text!r} must be {what}') from None


def read_tas(words: Optional[Sequence[str]]) -> Any:
    """Read ``--tas``: a number, names, or ``none``.

    Args:
        words (list[str], optional): As typed.

    Returns:
        tuple: The number, None by default, and the names.

    Raises:
        ConfigError: If the number is below one.
    """
    if words is None:
        return None, ()
    if [*words] == [_NO_TAS]:
        return 0, ()
    if len(words) == 1 and re.fullmatch(r'[-+]?\d+(\.\d*)?', words[0]):
        number = number_of('--tas', words[0])
        if not 1 <= number <= MOST_TAS:
            raise ConfigError(f'--tas: {number} must be 1 to {MOST_TAS}, or '
                              f'names of models, or {_NO_TAS}')
        return number, ()
    if _NO_TAS in words or len(words) > MOST_TAS:
        raise ConfigError(f'--tas: {" ".join(words)!r} must be 1 to '
                          f'{MOST_TAS} names of models, or {_NO_TAS} alone')
    return None, tuple(words)


def _check_int(flag: str, value: Any, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(f'{flag}: {value} must be {least} or more')
