# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Sequence

from mmdgkd.utils.random import uniforms

# Second half of the Philox key, another one than that of the keep mask.
_STREAM = 0x73706571


def drawn_bits(seed: int,
               step: int,
               layers: Sequence[str],
               bits: int,
               high_bits: int = 8,
               prob: float = 0.5) -> Dict[str, int]:
    """The precision of the activations of each layer in a step.

    As in SPEQ (arXiv 2009.14502): ``bits`` or ``high_bits``, the latter with
    probability ``prob``, independently for each layer. The result is a
    function of the arguments alone, the same on every rank and in a resumed
    run. The draws are from Philox, a counter-based generator, with the step
    as its counter.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        layers (Sequence[str]): The layers, in order.
        bits (int): The low precision.
        high_bits (int): The high one. Defaults to 8, as in the paper.
        prob (float): Probability of the high one. Defaults to 0.5, as in the
            paper.

    Returns:
        dict[str, int]: Bits by layer, in the given order.
    """
    draws = uniforms(seed, _STREAM, step, len(layers))
    return {
        layer: high_bits if draw < prob else bits
        for layer, draw in zip(layers, draws)
    }
