# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether what was made of a network still says what the network says."""
import torch
from torch import nn

# How far the logits may be off, as a share of the largest.
_ROUNDING = 1e-4
# In a quantized network the last bit of a sum, which is another one on another
# processor, decides to which of two levels an activation goes that is just
# between them, and all that follows hears of it (0.8 % was seen). A range or a
# weight that is wrong moves the logits of all images.
_LEVELS, _LEVELS_MEDIAN = 0.05, 0.01


def logits_match(found: torch.Tensor, wanted: torch.Tensor,
                 program: nn.Module) -> bool:
    """Whether logits are the same but for rounding; no NaN is.

    Args:
        found (torch.Tensor): What was made of a network says these.
        wanted (torch.Tensor): The network says these.
        program (nn.Module): What was made of it.
    """
    largest, off = wanted.abs().max(), (found - wanted).abs()
    if has_levels(program):
        return bool(off.max() <= _LEVELS * largest
                    and off.median() <= _LEVELS_MEDIAN * largest)
    return bool(off.max() <= _ROUNDING * largest + 1e-5)


def has_levels(network: nn.Module) -> bool:
    """Whether activations are rounded to levels somewhere in a network.

    Args:
        network (nn.Module): Its modules that round say ``rounds_to_levels``.
    """
    return any(
        getattr(module, 'rounds_to_levels', False)
        for module in network.modules())
