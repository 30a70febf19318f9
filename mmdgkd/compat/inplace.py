# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Optional

from .repair import Repair


def set_module_inplace_false(self: Any, architecture: Any,
                             varstr: str) -> None:
    """Replacement of ``BaseAlgorithm.set_module_inplace_false``.

    Unlike MMRazor's it also looks inside a module that has the attribute
    itself, such as mmcv's ``ConvModule``.

    Args:
        architecture (nn.Module): The model whose modules are switched.
        varstr (str): Unused; MMRazor's own evaluates it.
    """
    for module in architecture.modules():
        if hasattr(module, 'inplace'):
            module.inplace = False


def _diagnose() -> Optional[str]:
    from mmrazor.models.algorithms.base import BaseAlgorithm
    from torch import nn
    relu, inner = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
    outer = nn.Sequential(inner)
    outer.inplace = True
    probe = BaseAlgorithm.__new__(BaseAlgorithm)
    nn.Module.__init__(probe)
    probe.architecture = nn.Sequential(relu, outer)
    probe.set_module_inplace_false(probe.architecture, 'self.architecture')
    if relu.inplace:
        return 'set_module_inplace_false leaves ReLU(inplace=True) as it is'
    if inner.inplace:
        return 'set_module_inplace_false leaves the ReLU of a ConvModule'
    return None


def _fix() -> None:
    from mmrazor.models.algorithms.base import BaseAlgorithm
    BaseAlgorithm.set_module_inplace_false = set_module_inplace_false


REPAIR = Repair(
    name='in-place modules',
    cause='nn.Module keeps its children in a plain dict since torch 2.5, '
    'where MMRazor looks for an OrderedDict, and MMRazor never looks inside '
    'of a ConvModule: in-place ReLUs stay in place and overwrite what a '
    'recorder before them has recorded',
    diagnose=_diagnose,
    fix=_fix)
