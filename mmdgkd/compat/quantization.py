# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import sys
import types
from typing import Any, Optional

from .repair import Repair

_PACKAGE = 'mmrazor.structures.quantization.backend_config'


def _refuse(*_args: Any, **_kwargs: Any) -> Any:
    """Stand-in for every backend config of MMRazor's quantization.

    Raises:
        ImportError: Always, with what would work.
    """
    import torch
    raise ImportError(
        'quantization of MMRazor 1.0.0 needs torch 1.13, this is torch '
        f'{torch.__version__}: it is cut off here, all else of MMRazor works')


def _helper(name: str) -> Any:
    """``__getattr__`` of the helper module: each of its helpers refuses."""
    if not name.startswith('_get_'):
        raise AttributeError(name)
    return _refuse


class _NoBackendConfigs(dict):
    """``BackendConfigs`` without an entry: asking for one says why."""

    def __missing__(self, key: str) -> Any:
        _refuse()


def _diagnose() -> Optional[str]:
    import torch
    from packaging.version import Version
    if f'{_PACKAGE}.mapping' in sys.modules:
        return None
    # The failing module is part of every import of mmrazor.models, and a
    # failed import leaves half of its registrations behind: so the condition
    # is looked up, not provoked.
    if Version(torch.__version__).release < (2, 0):
        return None
    return f'torch {torch.__version__} has other torch.ao names'


def _mend() -> None:
    helpers = types.ModuleType(f'{_PACKAGE}.common_operator_config_utils')
    # The backend modules import their helpers by name, and call them only
    # when a backend config is asked for.
    helpers.__getattr__ = _helper  # type: ignore
    mapping = types.ModuleType(f'{_PACKAGE}.mapping')
    mapping.BackendConfigs = _NoBackendConfigs()  # type: ignore
    sys.modules[helpers.__name__] = helpers
    sys.modules[mapping.__name__] = mapping


REPAIR = Repair(
    name='quantization',
    cause='MMRazor builds its quantization backends at import, out of '
    'torch.ao names that moved in torch 2.0 (open-mmlab/mmrazor issue 615), '
    'so that nothing of mmrazor.models imports; quantization is cut off with '
    'a clear error',
    diagnose=_diagnose,
    mend=_mend)
