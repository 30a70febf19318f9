# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Compare the logits of a converted network with those of the original."""
import torch
from torch import nn

# The largest difference of a logit, as a share of the largest logit.
_ROUNDING = 1e-4
# In a quantized network the last bit of a sum, which differs from processor to
# processor, decides the level of an activation that is just between two, and
# the difference spreads through the layers after it (0.8 % was measured). A
# wrong range or weight moves the logits of all images.
_LEVELS, _LEVELS_MEDIAN = 0.05, 0.01


def logits_match(found: torch.Tensor, wanted: torch.Tensor,
                 program: nn.Module) -> bool:
    """Whether logits are equal up to rounding; NaN never matches.

    Args:
        found (torch.Tensor): Logits of the converted network, shape (N, C).
        wanted (torch.Tensor): Logits of the original, likewise.
        program (nn.Module): The converted network.
    """
    largest, off = wanted.abs().max(), (found - wanted).abs()
    if has_levels(program):
        return bool(off.max() <= _LEVELS * largest
                    and off.median() <= _LEVELS_MEDIAN * largest)
    return bool(off.max() <= _ROUNDING * largest + 1e-5)


def has_levels(network: nn.Module) -> bool:
    """Whether a network rounds activations to levels.

    Args:
        network (nn.Module): The network; modules that round have a true
            ``rounds_to_levels``.
    """
    return any(
        getattr(module, 'rounds_to_levels', False)
        for module in network.modules())
