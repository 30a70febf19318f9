# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
from dataclasses import asdict, dataclass, fields
from typing import Any, ContextManager, Dict, Mapping, Optional

import torch

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import refuse_unknown

PRECISIONS = {
    'float32': None,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16
}


@dataclass(frozen=True)
class TeacherOptions:
    """How frozen teachers run.

    Args:
        channels_last (bool): Keep their weights in PyTorch's channels_last
            format: the same numbers, summed in another order. The shipped
            configs set it. Defaults to False.
        precision (str, optional): ``'float32'``, or ``'bfloat16'`` or
            ``'float16'`` for autocast, independent of the student's.
            Defaults to None: that of the student.
        fold_bn (bool): Fold batch normalization into the convolution before
            it, in a copy that is never saved. Defaults to False.
        compile (bool): Run backbone and neck through ``torch.compile``.
            Defaults to False.

    Raises:
        ConfigError: For another precision.
    """

    channels_last: bool = False
    precision: Optional[str] = None
    fold_bn: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ConfigError(
                f'model.teacher_options.precision: {self.precision!r} is none '
                f'of {", ".join(PRECISIONS)}, and not None')

    @classmethod
    def from_cfg(cls, cfg: Optional[Mapping[str, Any]]) -> 'TeacherOptions':
        """Read and check a config.

        Args:
            cfg (Mapping, optional): The options that differ from the defaults.

        Raises:
            ConfigError: For an unknown option or a wrong value.
        """
        cfg, here = cfg or {}, 'model.teacher_options'
        refuse_unknown(cfg, [field.name for field in fields(cls)], here)
        for key, value in cfg.items():
            if key != 'precision' and not isinstance(value, bool):
                raise ConfigError(
                    f'{here}.{key}: {value!r} must be True or False')
        return cls(**cfg)

    def running_precision(self, device: str) -> str:
        """The precision in use, within the autocast of the student.

        Args:
            device (str): Type of the device, such as ``'cuda'``.
        """
        if self.precision is not None:
            return self.precision
        if not torch.is_autocast_enabled(device):
            return 'float32'
        return str(torch.get_autocast_dtype(device)).split('.')[-1]

    def autocast(self, device: str) -> ContextManager:
        """The context to run in.

        Args:
            device (str): Type of the device, such as ``'cuda'``.
        """
        if self.precision is None:
            return contextlib.nullcontext()
        dtype = PRECISIONS[self.precision]
        return torch.autocast(device, dtype=dtype, enabled=dtype is not None)

    def facts(self) -> Dict[str, Any]:
        """The options that the logits depend on, as plain data."""
        return {
            key: value
            for key, value in asdict(self).items() if key != 'precision'
        }
