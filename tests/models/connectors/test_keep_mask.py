# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import Counter

import pytest

from mmdgkd.models.connectors.keep_mask import keep_mask

TEACHERS = ['a', 'b', 'c', 'd']
STEPS = 4000


def masks(**policy):
    return [keep_mask(7, step, TEACHERS, **policy) for step in range(STEPS)]


def test_a_function_of_seed_and_step():
    first = [keep_mask(1, step, TEACHERS) for step in range(50)]
    # Whatever the order, and whatever was drawn in between.
    for step in reversed(range(50)):
        assert keep_mask(1, step, TEACHERS) == first[step]
    assert [keep_mask(2, step, TEACHERS) for step in range(50)] != first


def test_pinned_for_all_versions():
    """A resumed run must draw these after any upgrade."""
    drawn = ''.join(
        next(name for name, kept in keep_mask(0, step, TEACHERS).items()
             if not kept) for step in range(12))
    assert drawn == 'dcaadaaccbbc'


@pytest.mark.parametrize('num_drop', [0, 1, 3])
def test_count_drops_exactly_so_many(num_drop):
    assert all(
        sum(mask.values()) == 4 - num_drop
        for mask in masks(num_drop=num_drop))


def test_count_drops_each_equally_often():
    dropped = Counter(
        name for mask in masks(num_drop=1) for name, kept in mask.items()
        if not kept)
    # Binomial(4000, 1/4): standard deviation 27.
    assert all(abs(dropped[name] - STEPS / 4) < 120 for name in TEACHERS)


def test_bernoulli_keeps_each_independently():
    drawn = masks(mode='bernoulli', keep_prob=0.75, min_keep=0)
    for name in TEACHERS:
        assert abs(sum(m[name] for m in drawn) - 0.75 * STEPS) < 120
    both = sum(m['a'] and m['b'] for m in drawn)
    assert abs(both - 0.75**2 * STEPS) < 140
    assert any(not any(m.values()) for m in drawn)


def test_bernoulli_fills_up_to_min_keep():
    drawn = masks(mode='bernoulli', keep_prob=0.1, min_keep=2)
    assert min(sum(m.values()) for m in drawn) == 2
    assert max(sum(m.values()) for m in drawn) > 2
    assert all(any(m[name] for m in drawn) for name in TEACHERS)


@pytest.mark.parametrize('policy', [
    dict(num_drop=2),
    dict(mode='bernoulli', keep_prob=0.2),
])
def test_the_protected_are_always_active(policy):
    drawn = masks(protect=('b', ), **policy)
    assert all(mask['b'] for mask in drawn)
    assert any(not mask['a'] for mask in drawn)


def test_neighbouring_steps_share_no_numbers():
    """More than four teachers take more than one block of the generator."""
    teachers = list('abcdefgh')
    drawn = [
        tuple(keep_mask(0, step, teachers, num_drop=4).values())
        for step in range(200)
    ]
    repeats = sum(a[4:] == b[:4] for a, b in zip(drawn, drawn[1:]))
    assert repeats < 60  # one in 6 to 16 by chance


@pytest.mark.parametrize('policy', [
    dict(num_drop=4),
    dict(num_drop=3, min_keep=2),
    dict(num_drop=3, protect=('a', 'b')),
    dict(num_drop=-1),
])
def test_what_cannot_be_is_refused(policy):
    with pytest.raises(ValueError, match='num_drop=.* must be from 0 to'):
        keep_mask(0, 0, TEACHERS, **policy)
