# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import importlib
import sys
import types
from typing import Optional

from .repair import Repair

_PACKAGE = 'mmrazor.structures.quantization.backend_config'
_OWN = 'torch.ao.quantization.backend_config'


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


def _fix() -> None:
    """Put PyTorch's own helpers where MMRazor has its copies of them.

    MMRazor's are those of torch 1.13. PyTorch's have the same patterns of
    modules, in the order that it has turned around since, and some more.

    Raises:
        ImportError: If this PyTorch has none.
    """
    import torch
    try:
        own = importlib.import_module(f'{_OWN}._common_operator_config_utils')
        # PyTorch names it by its package, which does not import it.
        importlib.import_module(f'{_OWN}.utils')
    except ImportError as error:
        raise ImportError(
            'mmdgkd needs a PyTorch with torch.ao.quantization, as MMRazor '
            f'does; torch {torch.__version__} has none ({error})') from None
    helpers = types.ModuleType(f'{_PACKAGE}.common_operator_config_utils')
    for name in dir(own):
        if name.startswith('_get_'):
            setattr(helpers, name, getattr(own, name))
    sys.modules[helpers.__name__] = helpers


REPAIR = Repair(
    name='quantization',
    cause='MMRazor builds its quantization backends at import, out of '
    'torch.ao names that moved in torch 2.0 (open-mmlab/mmrazor issue 615), '
    'so that nothing of mmrazor.models imports',
    diagnose=_diagnose,
    fix=_fix)
