# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How good probabilities are, by hand and by drawn labels."""
import numpy as np
import pytest

from mmdgkd.weigh.calibration import (accuracy, best_temperature,
                                      calibration_error, log_probs_of, nll,
                                      reliability)

# Four images, three classes; the last one is wrong.
PROBS = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.06, 0.04, 0.9],
                  [0.52, 0.28, 0.2]])
LABELS = np.array([0, 1, 2, 1])


def draw(log_probs, seed=0):
    """Labels by these probabilities."""
    random = np.random.default_rng(seed).random((len(log_probs), 1))
    return (np.exp(log_probs).cumsum(1) > random).argmax(1)


def test_nll_and_accuracy_by_hand():
    # -(ln 0.5 + ln 0.8 + ln 0.9 + ln 0.28) / 4
    assert nll(np.log(PROBS), LABELS) == pytest.approx(0.573654, abs=1e-6)
    assert accuracy(PROBS, LABELS) == 0.75
    # Logits are that up to a constant per image.
    logits = np.log(PROBS) + np.array([[3.], [-1.], [0.], [8.]])
    assert nll(log_probs_of(logits), LABELS) == pytest.approx(0.573654, 1e-5)


def test_calibration_error_by_hand():
    """0.5 and 0.52 are in bin 8 of 15, where one of two is right."""
    found = reliability(np.log(PROBS), LABELS)
    assert found == pytest.approx(
        np.array([[0.51, 0.5, 0.5], [0.8, 1, 0.25], [0.9, 1, 0.25]]))
    # 0.5 x 0.01 + 0.25 x 0.2 + 0.25 x 0.1
    assert calibration_error(np.log(PROBS), LABELS) == pytest.approx(0.08)


def test_a_bin_has_its_upper_end():
    """As in the paper: ((m - 1) / M, m / M]."""
    sure = np.log(np.array([[0.75, 0.25], [0.7501, 0.2499]]))
    assert len(reliability(sure, np.array([0, 0]), bins=4)) == 2
    assert len(reliability(sure, np.array([0, 0]), bins=2)) == 1


def test_all_of_it_of_certainty():
    """A probability of 1, one of 0, and float16."""
    logits = np.array([[40., -40.], [-40., 40.]], np.float16)
    log_probs = log_probs_of(logits)
    assert calibration_error(log_probs, np.array([0, 1])) == 0
    assert calibration_error(log_probs, np.array([1, 0])) == 1
    assert nll(log_probs, np.array([1, 1])) == pytest.approx(40)


@pytest.mark.parametrize('scale', [0.5, 1, 2])
def test_the_temperature_of_scaled_logits_is_the_scale(scale):
    truth = np.random.default_rng(1).normal(size=(20000, 10)) * 2
    labels = draw(log_probs_of(truth))
    found = best_temperature(scale * truth, labels)
    assert found == pytest.approx(scale, rel=0.03)
    # The very same labels: exactly in proportion.
    assert found == pytest.approx(
        scale * best_temperature(truth, labels), rel=1e-4)


def test_the_temperature_stays_in_bounds():
    sure = 10 * np.eye(4)
    # The NLL of a perfect teacher is 0 well before.
    found = best_temperature(sure, np.arange(4))
    assert 0.05 <= found < 0.5
    assert nll(log_probs_of(sure, found), np.arange(4)) < 1e-6
    assert best_temperature(sure,
                            np.arange(4)[::-1]) == pytest.approx(20, 0.01)
