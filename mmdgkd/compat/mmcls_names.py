# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import importlib
import importlib.util
import sys
from typing import Optional

from .repair import Repair


def _diagnose() -> Optional[str]:
    if importlib.util.find_spec('mmcls') is not None:
        return None
    if 'mmrazor.models' in sys.modules:
        # Too late: MMRazor has bound its placeholders. Only the loss that
        # distillation needs is looked at then.
        from mmrazor.models.losses import kd_soft_ce_loss
        bound = kd_soft_ce_loss.soft_cross_entropy
        if not bound.__module__.startswith('mmrazor'):
            return None
    return 'mmcls is not installed'


def _fix() -> None:
    """Import mmrazor.models while mmpretrain answers to the name mmcls."""
    importlib.import_module('mmpretrain.models')
    alias = {
        'mmcls' + name[len('mmpretrain'):]: module
        for name, module in sys.modules.items()
        if name.split('.')[0] == 'mmpretrain'
    }
    already = 'mmrazor.models' in sys.modules
    sys.modules.update(alias)
    try:
        importlib.import_module('mmrazor.models')
    finally:
        # Nobody else is to take mmpretrain for an installed mmcls.
        for name in alias:
            sys.modules.pop(name, None)
    if already:
        from mmpretrain.models.losses.cross_entropy_loss import \
            soft_cross_entropy
        from mmrazor.models.losses import kd_soft_ce_loss
        kd_soft_ce_loss.soft_cross_entropy = soft_cross_entropy


REPAIR = Repair(
    name='mmcls names',
    cause='mmcls became mmpretrain; KDSoftCELoss and the searchable '
    'classifiers of MMRazor still import from mmcls, where mmpretrain has the '
    'same names',
    diagnose=_diagnose,
    fix=_fix)
