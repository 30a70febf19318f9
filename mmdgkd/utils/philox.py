# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np

_WORD = (1 << 64) - 1


def uniforms(seed: int,
             stream: int,
             step: int,
             count: int,
             of: int = 0) -> np.ndarray:
    """Numbers that are drawn for a step, a function of the arguments alone.

    The same on every rank, in a resumed run, and in whatever order they are
    asked for. They come from Philox, a counter based generator, with the step
    as its counter.

    Args:
        seed (int): The seed of the run.
        stream (int): What they are for: draws of another kind that are made of
            the same seed and step have another one. Half of Philox's key.
        step (int): The iteration, counted from 0.
        count (int): How many.
        of (int): What in the step they are for. Defaults to 0.

    Returns:
        np.ndarray: Shape (count, ), float64, evenly in [0, 1).
    """
    bits = np.random.Philox(
        key=np.array([seed & _WORD, stream], dtype=np.uint64),
        # The lowest word counts within a step: the step goes into the next.
        counter=np.array([0, step, of, 0], dtype=np.uint64))
    return (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53
