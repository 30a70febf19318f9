# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Optional

from .repair import Repair


def _device_of(module: Any) -> Any:
    """The device of a module's parameters, whichever it is.

    Args:
        module (nn.Module): The module.
    """
    return next(module.parameters()).device


def _diagnose() -> Optional[str]:
    import torch
    from mmrazor.models.architectures.generators import DAFLGenerator
    generator = DAFLGenerator(4, 1, 2).to('meta')
    try:
        generator.process_latent(torch.empty(1, 1, device='meta'))
    except NotImplementedError as error:
        return f'the noise of a generator on the meta device: {error}'
    return None


def _fix() -> None:
    from mmrazor.models.architectures.generators import base_generator
    base_generator.get_module_device = _device_of


REPAIR = Repair(
    name='generator device',
    cause='MMRazor knows two devices, the CPU and CUDA: its generators for '
    'distillation without data put their noise onto the CPU on any other, so '
    'that they cannot be looked at on the meta device before a training',
    diagnose=_diagnose,
    fix=_fix)
