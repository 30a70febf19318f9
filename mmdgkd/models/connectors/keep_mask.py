# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Sequence

from mmdgkd.utils.random import uniforms

# Second half of the Philox key: other draws from the same seed and step use
# another one.
_STREAM = 0x6B656570


def keep_mask(
    seed: int,
    step: int,
    teachers: Sequence[str],
    mode: str = 'count',
    num_drop: int = 1,
    keep_prob: float = 0.75,
    min_keep: int = 1,
    protect: Sequence[str] = ()) -> Dict[str, bool]:
    """Which teachers are active in a step (stochastic teaching).

    The stochastic DGKD of arXiv 2009.08825. The mask depends on the arguments
    alone: it is the same on every rank and in a resumed run. The numbers come
    from Philox, a counter-based generator, with the step as its counter.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        teachers (Sequence[str]): Names of all teachers of the stage, in order.
        mode (str): ``'count'`` drops exactly ``num_drop`` teachers, each
            unprotected one equally likely (the released code);
            ``'bernoulli'`` keeps each with probability ``keep_prob``,
            independently (the paper). Defaults to ``'count'``.
        num_drop (int): See ``mode``. Defaults to 1.
        keep_prob (float): See ``mode``. Defaults to 0.75, the paper's best.
        min_keep (int): The least number of active teachers; a Bernoulli draw
            is filled up with the next smallest numbers. Defaults to 1.
        protect (Sequence[str]): Teachers that are never dropped.
            Defaults to ().

    Returns:
        dict[str, bool]: For each teacher, in order, whether it is active.

    Raises:
        ValueError: If ``num_drop`` is out of range.
    """
    draws = dict(zip(teachers, uniforms(seed, _STREAM, step, len(teachers))))
    # Those with the smallest numbers are kept.
    order = sorted((name for name in teachers if name not in protect),
                   key=draws.__getitem__)
    fixed = len(teachers) - len(order)
    if mode == 'count':
        num_keep = len(order) - num_drop
        if num_drop < 0 or num_keep < 0 or fixed + num_keep < min_keep:
            raise ValueError(
                f'num_drop={num_drop} must be from 0 to '
                f'{len(teachers) - max(fixed, min_keep)}: there are '
                f'{len(teachers)} teachers, {fixed} of them protected, and '
                f'min_keep={min_keep}')
    else:
        num_keep = sum(bool(draws[name] < keep_prob) for name in order)
        num_keep = max(num_keep, min(min_keep - fixed, len(order)))
    active = set(order[:num_keep])
    return {name: name in active or name in protect for name in teachers}
