# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import random

import numpy as np
import pytest
import torch

from mmdgkd.utils.random import (aside, mix_seed, noise_seed, partners_seed,
                                 seed_all, states, step_seed, uniforms,
                                 view_seed)


def test_draws_and_seeds_stay_the_same_bits():
    """A run that is resumed by another version draws the same."""
    assert uniforms(1, 2, 3, 3, 4).tolist() == [
        0.09529715610758704, 0.9641918023250297, 0.3781584559290063
    ]
    # Seeds of another sign, steps of more than 32 bits.
    assert uniforms(-1, 2, 2**40, 1).tolist() == [0.34895605332898005]
    assert step_seed(1, 2, 3) == 2950015264
    assert noise_seed(1, 2, 3) == 3169147942
    assert mix_seed(1, 2, 3) == 4157355087
    assert partners_seed(1, 2) == 4286241698
    assert 0 <= step_seed(2**64 - 1, 10**9, 7) < 2**32


def test_each_purpose_has_its_own_draws():
    seeds = (view_seed, mix_seed, step_seed, noise_seed)
    assert len({*(seed(3, 4, 0) for seed in seeds), partners_seed(3, 4)}) == 5
    first = uniforms(0, 1, 2, 4)
    assert np.array_equal(uniforms(0, 1, 2, 2), first[:2])
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert not np.isin(uniforms(*other, 4), first).any()
    assert not np.isin(uniforms(0, 1, 2, 4, of=1), first).any()


def test_generators_are_restored():
    seed_all(5)
    before = states()
    with pytest.raises(ValueError), aside():
        random.random(), np.random.rand(), torch.rand(1)
        assert states() != before
        raise ValueError
    assert states() == before
