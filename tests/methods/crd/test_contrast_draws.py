# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import torch

from mmdgkd.methods.crd.negatives import SamplesByClass, draw_negatives
from mmdgkd.utils.random import random_words

LABELS = torch.tensor([2, 0, 1, 0, 2, 2, 0, 1, 2, 2])
SAMPLES = SamplesByClass.of(LABELS)


def draw(seed=0, step=0, indices=(0, 1, 2), num=50):
    return draw_negatives(seed, step, torch.tensor(indices), SAMPLES, num)


def test_the_bits_are_those_of_splitmix64():
    """As in its reference code, for the seed 1234567."""
    gamma = 0x9E3779B97F4A7C15 - 2**64
    words = random_words(1234567 + torch.arange(1, 6) * gamma)
    assert [word % 2**64 for word in words.tolist()] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
        4593380528125082431, 16408922859458223821
    ]


def test_by_class():
    assert SAMPLES.order.tolist() == [1, 3, 6, 2, 7, 0, 4, 5, 8, 9]
    assert SAMPLES.counts.tolist() == [3, 2, 5]
    assert SAMPLES.starts.tolist() == [0, 3, 5]


def test_all_others_are_equally_likely_and_none_of_the_own_class():
    num = 20000
    for index, drawn in enumerate(draw(indices=range(10), num=num)):
        counts = torch.bincount(drawn, minlength=10)
        others = LABELS != LABELS[index]
        assert not counts[~others].any()
        wanted = num / int(others.sum())
        # Five standard deviations.
        assert (counts[others] - wanted).abs().max() < 5 * wanted**0.5


def test_they_depend_on_seed_step_and_sample_alone():
    drawn = draw(indices=(0, 1, 2))
    assert torch.equal(drawn, draw(indices=(0, 1, 2)))
    # Whatever else is in the batch, and in whatever order.
    assert torch.equal(drawn[[2, 0]], draw(indices=(2, 0)))
    # The first ones stay when there are more.
    assert torch.equal(drawn, draw(num=80)[:, :50])
    for other in (dict(seed=1), dict(step=1), dict(seed=-1), dict(seed=2**63)):
        assert not torch.equal(drawn, draw(**other))
    # Samples 0 and 4 are of one class.
    same = draw(indices=(0, 4))
    assert not torch.equal(same[0], same[1])
