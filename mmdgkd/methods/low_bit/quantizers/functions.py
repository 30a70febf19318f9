# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Low-bit numbers, and gradients that pass through them."""
from typing import Tuple

import torch

# A step must be positive.
SMALLEST_STEP = 1e-8
# Of the alternation: the ranges to start from, as shares of the largest value,
# and the number of rounds.
_STARTS = (1., .7, .4, .2)
_ROUNDS = 20


def level_range(bits: int, signed: bool) -> Tuple[int, int]:
    """The smallest and the largest level of a number of bits.

    Args:
        bits (int): 2 or more if signed, else 1 or more.
        signed (bool): Whether there are levels below 0. There are then as many
            as above it, without a zero point: 2 bits are -1, 0, 1.

    Returns:
        tuple[int, int]: Both levels.
    """
    if signed:
        high = 2**(bits - 1) - 1
        return -high, high
    return 0, 2**bits - 1


def round_through(x: torch.Tensor) -> torch.Tensor:
    """Round, with the gradient of the identity (straight-through).

    Bengio, Leonard and Courville (arXiv 1308.3432).

    Args:
        x (torch.Tensor): Of any shape.
    """
    # The added term is exactly 0, unlike in x + (round(x) - x).
    return x.detach().round() + (x - x.detach())


def scale_gradient(x: torch.Tensor, scale: float) -> torch.Tensor:
    """The same value, with its gradient times ``scale``.

    Args:
        x (torch.Tensor): Of any shape.
        scale (float): The factor.
    """
    return x.detach() + scale * (x - x.detach())


def quantize(x: torch.Tensor,
             step: torch.Tensor,
             low: int,
             high: int,
             clip_gradient: bool = True) -> torch.Tensor:
    """Round to the nearest of the levels ``low * step, ..., high * step``.

    With ``clip_gradient`` the gradients are those of LSQ (Esser et al., ICLR
    2020, arXiv 1902.08153, equations 1 to 3): to ``x`` they pass where it is
    within the levels, to ``step`` they are ``round(x/step) - x/step`` there
    and the level itself where it is beyond. Without, they pass to all of
    ``x``, as with ternary weights of optimal steps.

    Args:
        x (torch.Tensor): Of any shape.
        step (torch.Tensor): Above 0, of a shape that broadcasts to that of x.
        low (int): The smallest level.
        high (int): The largest one.
        clip_gradient (bool): See above. Defaults to True.

    Returns:
        torch.Tensor: Of the shape of ``x``, exactly an integer times the
        step.
    """
    if clip_gradient:
        return round_through((x / step).clamp(low, high)) * step
    levels = (x.detach() / step).clamp(low, high).round()
    return levels * step + (x - x.detach())


@torch.no_grad()
def optimal_step(x: torch.Tensor,
                 low: int,
                 high: int,
                 per_channel: bool = False) -> torch.Tensor:
    """The step whose levels are nearest to ``x`` in the L2 norm.

    It is exact for the levels -1, 0 and 1: if the k values with the largest
    magnitudes are not 0, their mean magnitude is the best step, and the
    squared error is least where ``(sum of these)^2 / k`` is largest (Li et
    al., Ternary Weight Networks, arXiv 1605.04711, section 2). For more levels
    it is the best of several starts of the alternation of Hwang and Sung (SiPS
    2014): given a step the levels ``z`` are the nearest, given levels the step
    is ``x.z / z.z``.

    Args:
        x (torch.Tensor): Of any shape; with ``per_channel`` (C, ...).
        low (int): The smallest level.
        high (int): The largest one.
        per_channel (bool): A step for each ``x[i]``. Defaults to False: one.

    Returns:
        torch.Tensor: A scalar, or shape (C, 1, ...); at least 1e-8.
    """
    rows = x.detach().float().reshape(len(x) if per_channel else 1, -1)
    if (low, high) == (-1, 1):
        step = _ternary_step(rows)
    else:
        step = _alternated_step(rows, low, high)
    step = step.clamp_min(SMALLEST_STEP)
    return step.reshape(-1, *[1] *
                        (x.dim() - 1)) if per_channel else step.reshape(())


def _ternary_step(rows: torch.Tensor) -> torch.Tensor:
    """The exact step for each row."""
    # In float64 the result does not depend on the order of a sum on a GPU.
    sums = rows.double().abs().sort(dim=1, descending=True).values.cumsum(1)
    counts = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    best = (sums**2 / counts).argmax(1, keepdim=True)
    return (sums.gather(1, best) / (best + 1)).squeeze(1).float()


def _alternated_step(rows: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """The step for each row by alternation, the best of the starts."""
    largest = rows.abs().amax(1, keepdim=True).clamp_min(SMALLEST_STEP)
    # Starts are a dimension of their own: (rows, starts, 1).
    step = torch.cat([largest * (share / high) for share in _STARTS],
                     1).unsqueeze(2)
    x = rows.unsqueeze(1)
    for _ in range(_ROUNDS):
        levels = (x / step).round().clamp(low, high)
        size = (levels * levels).sum(2, keepdim=True)
        found = (x * levels).sum(2, keepdim=True) / size.clamp_min(1)
        # Where all levels are 0 the step stays.
        step = torch.where(found > 0, found, step)
    errors = ((x / step).round().clamp(low, high) * step - x).square().sum(2)
    best = errors.argmin(1, keepdim=True)
    return step.squeeze(2).gather(1, best).squeeze(1)
