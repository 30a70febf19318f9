# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import inspect
from typing import Any, Optional

from .repair import Repair


def _fuse_fx(graph_module: Any, **kwargs: Any) -> Any:
    """PyTorch's function under the name that its argument once had.

    Args:
        graph_module (GraphModule): The graph whose modules are fused.
        **kwargs (Any): As PyTorch has them.
    """
    from torch.ao.quantization import quantize_fx
    return quantize_fx._fuse_fx(graph_module, **kwargs)


def _diagnose() -> Optional[str]:
    from mmrazor.models.quantizers import academic_quantizer
    fuse = academic_quantizer._fuse_fx
    try:
        known = inspect.signature(fuse).parameters
    except (TypeError, ValueError):
        return None  # a placeholder, which says itself what it needs
    if 'graph_module' in known or 'model' not in known:
        return None
    return '_fuse_fx of torch.ao takes model, not graph_module'


def _fix() -> None:
    from mmrazor.models.quantizers import academic_quantizer, native_quantizer
    for module in (academic_quantizer, native_quantizer):
        module._fuse_fx = _fuse_fx


REPAIR = Repair(
    name='quantizers',
    cause='an argument of torch.ao.quantization.quantize_fx._fuse_fx, which '
    'all quantizers of MMRazor call, has another name since torch 2.0',
    diagnose=_diagnose,
    fix=_fix)
