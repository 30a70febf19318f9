# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Counter-based randomness for transforms that know nothing of it."""
import contextlib
import hashlib
import random
import struct
from typing import Any, Iterator, Tuple

import numpy as np
import torch

_WORD = (1 << 64) - 1


def view_seed(seed: int, view: int, index: int) -> int:
    """The seed from which everything random in one view is drawn.

    Args:
        seed (int): The seed of the views.
        view (int): Number of the view.
        index (int): Index of the sample.

    Returns:
        int: 32 bits, what NumPy's legacy generator takes.
    """
    return _hashed(b'view', seed, view, index)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed from which the model draws in one step, such as its Dropout.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        rank (int): The rank.

    Returns:
        int: 32 bits.
    """
    return _hashed(b'step', seed, step, rank)


def noise_seed(seed: int, step: int, rank: int) -> int:
    """The seed from which a generator's noise is drawn in one step.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        rank (int): The rank.

    Returns:
        int: 32 bits.
    """
    return _hashed(b'noise', seed, step, rank)


def _hashed(stream: bytes, seed: int, *counters: int) -> int:
    data = struct.pack('<3Q', seed & _WORD, *counters)
    digest = hashlib.blake2b(data, digest_size=4, person=stream).digest()
    return int.from_bytes(digest, 'little')


def seed_all(seed: int, device: bool = False) -> None:
    """Seed the generators that transforms draw from.

    Args:
        seed (int): 32 bits.
        device (bool): Whether to seed those of the accelerators, too.
            Defaults to False: no transform draws there.
    """
    random.seed(seed)
    np.random.seed(seed)
    if device:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def states() -> Tuple[Any, ...]:
    """What these generators stand at, comparable."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return (random.getstate(), (kind, keys.tobytes(),
                                position, has_gauss, gauss),
            torch.get_rng_state().numpy().tobytes())


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Leave these generators, at the end, as they were found.

    Without workers a pipeline runs in the process of the model, whose Dropout
    must not depend on what the pipeline has drawn.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
