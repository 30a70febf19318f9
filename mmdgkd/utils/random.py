# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Random numbers as functions of counters.

Nothing random in a training depends on what was drawn before it. (1) What this
package draws itself, such as the keep mask, comes from a counter-based
generator: :func:`uniforms` gives numbers on the host, and
:func:`random_words` as many as a tensor has, on its device. (2) What other
code draws, such as the transforms of a view or Dropout, comes from a generator
that is seeded from counters right before: :func:`view_seed`,
:func:`mix_seed`, :func:`step_seed`, :func:`noise_seed`. So a resumed run,
another rank and another order of calls draw the same, and views can be cached.
"""
import contextlib
import hashlib
import random
import struct
from typing import Any, Iterator, Tuple

import numpy as np
import torch
from mmengine.device import get_device

_WORD = (1 << 64) - 1


def uniforms(seed: int,
             stream: int,
             step: int,
             count: int,
             of: int = 0) -> np.ndarray:
    """Draw numbers for a step as a function of the arguments alone.

    By Philox, a counter-based generator (Salmon et al., Parallel Random
    Numbers: As Easy as 1, 2, 3, SC 2011), with the step as its counter.

    Args:
        seed (int): The seed of the run.
        stream (int): The purpose: draws of each kind have another one. Half of
            the key of Philox.
        step (int): The iteration, counted from 0.
        count (int): Number of draws.
        of (int): What in the step they are for. Defaults to 0.

    Returns:
        np.ndarray: Shape (count, ), float64, uniform in [0, 1).
    """
    bits = np.random.Philox(
        key=np.array([seed & _WORD, stream], dtype=np.uint64),
        # The lowest word counts within a step: the step goes into the next.
        counter=np.array([0, step, of, 0], dtype=np.uint64))
    return (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53


def signed(word: int) -> int:
    """64 bits as the int64 of PyTorch.

    Args:
        word (int): Its bits.
    """
    word &= _WORD
    return word - (1 << 64) if word >> 63 else word


def shifted(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift int64 to the right with zeros from the left, not the sign.

    Args:
        words (torch.Tensor): int64 of any shape.
        bits (int): By how much.
    """
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def random_words(words: torch.Tensor) -> torch.Tensor:
    """Turn counters into random words, with the same bits on any device.

    The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable
    Pseudorandom Number Generators, OOPSLA 2014). Output j of a generator of
    seed s is ``random_words(s + j * gamma)``.

    Args:
        words (torch.Tensor): int64 of any shape.

    Returns:
        torch.Tensor: Likewise, 64 random bits each.
    """
    words = (words ^ shifted(words, 30)) * signed(0xBF58476D1CE4E5B9)
    words = (words ^ shifted(words, 27)) * signed(0x94D049BB133111EB)
    return words ^ shifted(words, 31)


def view_seed(seed: int, view: int, index: int) -> int:
    """The seed of all that is random in a view: 32 bits, as NumPy takes.

    Args:
        seed (int): The seed of the views.
        view (int): Number of the view.
        index (int): Index of the sample.
    """
    return _hashed(b'view', seed, view, index)


def generator_seed(seed: int, number: int) -> int:
    """The seed of a generator that a transform holds: 32 bits.

    Args:
        seed (int): That of the view.
        number (int): Which of the generators of the pipeline.
    """
    return _hashed(b'generator', seed, number, 0)


def mix_seed(seed: int, view: int, index: int) -> int:
    """The seed of how a view is mixed with its partner: 32 bits.

    Args:
        seed (int): The seed of the views.
        view (int): Number of the view.
        index (int): Index of the sample.
    """
    return _hashed(b'mix', seed, view, index)


def partners_seed(seed: int, view: int) -> int:
    """The seed of which views are partners: 32 bits.

    Args:
        seed (int): The seed of the views.
        view (int): Number of the views.
    """
    return _hashed(b'partners', seed, view, 0)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of what the model draws in a step, such as Dropout: 32 bits.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        rank (int): The rank.
    """
    return _hashed(b'step', seed, step, rank)


def noise_seed(seed: int, step: int, rank: int) -> int:
    """The seed of the noise that becomes images in a step: 32 bits.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        rank (int): The rank.
    """
    return _hashed(b'noise', seed, step, rank)


def _hashed(stream: bytes, seed: int, *counters: int) -> int:
    data = struct.pack('<3Q', seed & _WORD, *counters)
    digest = hashlib.blake2b(data, digest_size=4, person=stream).digest()
    return int.from_bytes(digest, 'little')


def seed_all(seed: int, device: bool = False) -> None:
    """Seed the global generators of Python, NumPy and PyTorch.

    Args:
        seed (int): 32 bits.
        device (bool): Whether to seed that of the accelerator, too.
            Defaults to False: no transform draws there.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if device and get_device() != 'cpu':
        # Not torch.manual_seed(), in each step: it formats a stack trace for
        # each kind of device that is not there.
        getattr(torch, get_device()).manual_seed(seed)


def states() -> Tuple[Any, ...]:
    """The states of these generators, comparable."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return (random.getstate(), (kind, keys.tobytes(),
                                position, has_gauss, gauss),
            torch.get_rng_state().numpy().tobytes())


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Restore the states of these generators at the end.

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
