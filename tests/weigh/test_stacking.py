# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The stacked estimate, and its refits to resamples."""
import numpy as np
import pytest
from drawn_teachers import views

from mmdgkd.weigh.calibration import best_temperature, log_probs_of, nll
from mmdgkd.weigh.stacking import (Refits, as_stack, combined, fit, interval,
                                   mean_of, out_of_bag, stack)


def refits_of(logits, labels):
    stacked = as_stack(logits)
    factors = fit(stacked, labels, np.full(len(logits), 1 / len(logits)))
    return Refits(stacked, labels, factors)


def test_the_mean_by_hand():
    logits = np.log([[[0.5, 0.5]], [[0.9, 0.1]]])
    assert np.exp(mean_of(as_stack(logits))) == pytest.approx(
        np.array([[0.7, 0.3]]))


def test_the_combination_by_hand():
    """softmax(2 ln 0.6 + ln 0.5, 2 ln 0.4 + ln 0.5) = 0.36 : 0.16."""
    stacked = as_stack(np.log([[[0.6, 0.4]], [[0.5, 0.5]]]))
    assert np.exp(combined(stacked, np.array([2., 1.]))) == pytest.approx(
        np.array([[0.36, 0.16]]) / 0.52)


def test_two_views_beat_both_and_weigh_by_their_noise():
    logits, labels = views(20000)
    weights, tau = stack(logits, labels)
    factors = weights / tau
    # Variances of 1 and 4: four times as much.
    assert factors[0] / factors[1] == pytest.approx(4, rel=0.15)
    both = nll(combined(as_stack(logits), factors), labels)
    alone = [nll(log_probs_of(*one), labels) for one in zip(logits, tau)]
    assert both < min(alone) - 0.01
    assert tau == pytest.approx(
        [best_temperature(one, labels) for one in logits])


def test_it_is_the_least_nll():
    logits, labels = views(500, noises=(1., 2., 3.))
    stacked = as_stack(logits)
    found = fit(stacked, labels, np.ones(3))
    least = nll(combined(stacked, found), labels)
    for step in 0.05 * np.random.default_rng(0).normal(size=(20, 3)):
        moved = np.maximum(found + step, 0)
        assert nll(combined(stacked, moved), labels) > least


def test_a_misleading_teacher_weighs_nothing():
    logits, labels = views(500)
    weights, _ = stack([logits[0], -logits[1]], labels)
    assert weights[1] == 0 and weights[0] == pytest.approx(1, rel=1e-2)


def test_one_teacher_has_its_own_temperature():
    logits, labels = views(500, noises=(2., ))
    weights, tau = stack(logits, labels)
    assert weights == pytest.approx([1], rel=1e-3)
    assert tau == pytest.approx([best_temperature(logits[0], labels)])


@pytest.mark.parametrize('noises', [(2., ), (1., 2., 2.)])
def test_a_refit_is_the_fit_to_the_resample(noises):
    logits, labels = views(1500, noises=noises)
    refits = refits_of(logits, labels)
    drawn = np.random.default_rng(1).integers(1500, size=1500)
    factors, losses = refits.refit(np.bincount(drawn, minlength=1500))
    stacked = refits.stacked[:, drawn]
    exact = fit(stacked, labels[drawn], refits.factors)
    moved = abs(exact - refits.factors).max()
    assert abs(factors - exact).max() < 0.1 * moved
    assert losses.mean() == pytest.approx(
        nll(combined(refits.stacked, factors), labels))


def test_a_refit_keeps_the_bounds():
    logits, labels = views(500)
    refits = refits_of([logits[0], -logits[1]], labels)
    drawn = np.random.default_rng(3).integers(500, size=500)
    factors, _ = refits.refit(np.bincount(drawn, minlength=500))
    assert factors[1] == 0 and factors[0] > 0


def test_what_a_fit_owes_to_its_images_does_not_count():
    """Of teachers that know nothing the fit gains, but not out of bag."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(8, 100, 3))
    labels = random.integers(3, size=100)
    refits = refits_of(logits, labels)
    knows_nothing = np.log(3)
    assert refits.losses.mean() < knows_nothing - 0.01
    assert out_of_bag([refits]).mean() > knows_nothing


def test_the_interval_covers_the_true_gain():
    """In most of twenty samples of one population."""
    logits, labels = views(100000)
    stacked = as_stack(logits)
    factors = fit(stacked, labels, np.ones(2))
    alone = 1 / best_temperature(logits[0], labels)
    true = nll(
        stacked[0] * alone -
        np.log(np.exp(stacked[0] * alone).sum(1, keepdims=True)),
        labels) - nll(combined(stacked, factors), labels)
    hits = 0
    for seed in range(1, 21):
        logits, labels = views(400, seed=seed)
        losses = out_of_bag(
            [refits_of(logits[:1], labels),
             refits_of(logits, labels)], 100, seed)
        value, low, high = interval(losses[:, 0] - losses[:, 1])
        assert low < value < high
        hits += low <= true <= high
    assert hits >= 18


def test_resamples_are_by_their_seed():
    logits, labels = views(200)
    refits = [refits_of(logits, labels)]
    first = out_of_bag(refits, 20, seed=1)
    assert first.shape == (20, 1)
    assert np.array_equal(first, out_of_bag(refits, 20, seed=1))
    assert not np.array_equal(first, out_of_bag(refits, 20, seed=2))


def test_many_numbers_have_half_the_precision(monkeypatch):
    logits, labels = views(500)
    exact = fit(as_stack(logits), labels, np.ones(2))
    monkeypatch.setattr('mmdgkd.weigh.stacking._MANY', 0)
    assert as_stack(logits).dtype == np.float32
    assert fit(as_stack(logits), labels, np.ones(2)) == pytest.approx(
        exact, abs=1e-3)


def test_teachers_that_are_nearly_equal_in_half_the_precision(monkeypatch):
    """What they differ by is lost in the rounding."""
    monkeypatch.setattr('mmdgkd.weigh.stacking._MANY', 0)
    random = np.random.default_rng(0)
    labels = random.integers(400, size=300)
    logits = 2 * random.normal(size=(300, 400))
    logits[np.arange(300), labels] += 4
    for noise in (1e-5, 3e-5, 1e-4):
        other = logits + noise * random.normal(size=logits.shape)
        refits = Refits(as_stack([logits, other]), labels, np.array([.5, .5]))
        factors, losses = refits.refit(np.ones(300, int))
        assert factors.sum() > 0 and np.isfinite(losses).all()
