# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The negatives of CRD, as a function of counters."""
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
        counts (torch.Tensor): Number of samples of each class, int64 of shape
            (C, ).
        starts (torch.Tensor): Start of each class in ``order``, likewise.
    """

    order: torch.Tensor
    labels: torch.Tensor
    counts: torch.Tensor
    starts: torch.Tensor

    @classmethod
    def of(cls, labels: torch.Tensor) -> 'SamplesByClass':
        """Sort samples by class.

        Args:
            labels (torch.Tensor): The class of each sample, int64 of shape
                (M, ), 0 or more; below 0 of one that is left out.
        """
        counts = torch.bincount(labels[labels >= 0])
        left_out = int((labels < 0).sum())
        return cls(
            torch.argsort(labels, stable=True)[left_out:], labels, counts,
            counts.cumsum(0) - counts)


def draw_negatives(seed: int, step: int, indices: torch.Tensor,
                   samples: SamplesByClass, num: int) -> torch.Tensor:
    """Draw samples of other classes, for each sample of a batch.

    They are independent and uniform over all samples of other classes, with
    replacement, as in the objective of the paper (Contrastive Representation
    Distillation, ICLR 2020, arXiv 1910.10699, equation 9). They are a function
    of the arguments alone, and those of a sample of no other one: they are the
    same in a resumed run and on any rank.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        indices (torch.Tensor): The samples, int64 of shape (N, ).
        samples (SamplesByClass): The data set.
        num (int): K, the number of negatives of each.

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
    # 32 bits times the number of others fit into 64.
    places = (bits * (len(samples.order) - own)) >> 32
    places += own * (places >= start[:, None])
    return samples.order[places]
