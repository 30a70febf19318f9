# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which samples a sample is contrasted with, as a function of counters."""
from typing import NamedTuple

import torch

from mmdgkd.utils.random import random_words, shifted, signed

# Other draws that are made of the same seed and step begin with another one.
_STREAM = 0x636F6E7472617374
_GAMMA = signed(0x9E3779B97F4A7C15)


class SamplesByClass(NamedTuple):
    """The samples of a data set, class by class.

    Attributes:
        order (torch.Tensor): Their indices, int64 of shape (M, ).
        labels (torch.Tensor): The class of each sample, likewise.
        counts (torch.Tensor): How many there are of a class, int64 of shape
            (C, ).
        starts (torch.Tensor): Where it begins in ``order``, likewise.
    """

    order: torch.Tensor
    labels: torch.Tensor
    counts: torch.Tensor
    starts: torch.Tensor

    @classmethod
    def of(cls, labels: torch.Tensor) -> 'SamplesByClass':
        """Sort them.

        Args:
            labels (torch.Tensor): The class of each sample, int64 of shape
                (M, ), 0 or more.
        """
        counts = torch.bincount(labels)
        return cls(
            torch.argsort(labels, stable=True), labels, counts,
            counts.cumsum(0) - counts)


def draw_negatives(seed: int, step: int, indices: torch.Tensor,
                   samples: SamplesByClass, num: int) -> torch.Tensor:
    """Draw samples of other classes, for each sample of a batch.

    They are independent of each other and uniform over all samples of other
    classes, with replacement, as the paper's objective has them (Contrastive
    Representation Distillation, ICLR 2020, arXiv 1910.10699, equation 9). They
    depend on the arguments alone, and those of a sample on no other one: they
    are the same in a resumed run and on whichever rank.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        indices (torch.Tensor): The samples, int64 of shape (N, ).
        samples (SamplesByClass): All there are.
        num (int): K, so many for each.

    Returns:
        torch.Tensor: Indices, int64 of shape (N, K).
    """
    # On the CPU, so that nothing waits for another device.
    base = random_words(torch.tensor(signed(seed ^ _STREAM)))
    base = int(random_words(base + step))
    counter = torch.arange(1, num + 1, device=indices.device) * _GAMMA
    words = random_words(indices + base)[:, None] + counter
    bits = shifted(random_words(words), 32)
    labels = samples.labels[indices]
    own, start = samples.counts[labels][:, None], samples.starts[labels]
    # 32 bits as a fraction of the others, which fits into 64.
    places = (bits * (len(samples.order) - own)) >> 32
    places += own * (places >= start[:, None])
    return samples.order[places]
