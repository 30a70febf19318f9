# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The images of a student as one of its teachers was trained to see them."""
from typing import Any, Dict, Mapping, Optional, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from mmdgkd.errors import ConfigError

NORMALIZATION = ('mean', 'std', 'to_rgb')


class TeacherInput:
    """Converts a preprocessed batch, on its device.

    Args:
        size (int | tuple[int, int], optional): Height and width of the images
            of the teacher. Defaults to None: those of the student.
        mean (Sequence[float], optional): By channel, as the data preprocessor
            of the teacher subtracts it. Defaults to None: 0.
        std (Sequence[float], optional): By channel, likewise.
            Defaults to None: 1.
        to_rgb (bool, optional): Whether the teacher has the channels in the
            other order than the data. Defaults to None: False.
        given (dict, optional): ``mean``, ``std`` and ``to_rgb`` of the
            student. Defaults to None: it does not normalize.
    """

    def __init__(self,
                 size: Any = None,
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None,
                 to_rgb: Optional[bool] = None,
                 given: Optional[Mapping[str, Any]] = None) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        self.mine = dict(mean=mean, std=std, to_rgb=to_rgb)
        self.given = dict(given or {})

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Convert a batch.

        Args:
            images (torch.Tensor): Preprocessed for the student, shape
                (N, C, H, W).

        Returns:
            torch.Tensor: As the teacher's own data preprocessor gives them,
            shape (N, C, *size).
        """
        if self.size and tuple(images.shape[-2:]) != tuple(self.size):
            images = F.interpolate(
                images, tuple(self.size), mode='bilinear', antialias=True)
        given, mine = self.given, self.mine
        if all(given.get(key) == mine[key] for key in NORMALIZATION):
            return images
        images = images * _by_channel(given.get('std'), 1., images)
        images = images + _by_channel(given.get('mean'), 0., images)
        if bool(given.get('to_rgb')) != bool(mine['to_rgb']):
            images = images.flip(1)
        images = images - _by_channel(mine['mean'], 0., images)
        return images / _by_channel(mine['std'], 1., images)


def _by_channel(values: Optional[Sequence[float]], default: float,
                images: torch.Tensor) -> torch.Tensor:
    return images.new_tensor(values or [default]).view(1, -1, 1, 1)


def convert_inputs(teacher: nn.Module, cfg: Mapping[str, Any]) -> None:
    """Have a teacher convert the images that it is given.

    Args:
        teacher (nn.Module): The teacher; it gets a hook.
        cfg (dict): The arguments of :class:`TeacherInput`.
    """
    convert = TeacherInput(**cfg)
    teacher.register_forward_pre_hook(lambda _, inputs:
                                      (convert(inputs[0]), *inputs[1:]))


def read_input(cfg: Any, here: str) -> Optional[Dict[str, Any]]:
    """Read ``input`` of a network in a chain.

    Args:
        cfg (Any): As in the config.
        here (str): Its config key.

    Raises:
        ConfigError: If it is not ``size``, ``mean``, ``std`` and ``to_rgb``.
    """
    if cfg is None:
        return None
    known = ('size', *NORMALIZATION)
    if not isinstance(cfg, Mapping) or not set(cfg) <= set(known):
        raise ConfigError(f'{here}: {cfg!r} must be a dict of '
                          f'{", ".join(known)}')
    size = cfg.get('size')
    sizes = size if isinstance(size, (list, tuple)) else [size, size]
    if size is not None and not (len(sizes) == 2 and all(
            type(one) is int and one > 0 for one in sizes)):
        raise ConfigError(f'{here}.size: {size!r} must be an integer, or '
                          'height and width')
    for key in ('mean', 'std'):
        values = cfg.get(key)
        if values is not None and not (isinstance(values, (list, tuple))
                                       and values and all(
                                           isinstance(one, (int, float))
                                           for one in values)):
            raise ConfigError(f'{here}.{key}: {values!r} must be a list of a '
                              'number for each channel')
        if key == 'std' and 0 in (values or ()):
            raise ConfigError(f'{here}.std: {values!r} must not be 0')
    return dict(cfg)
