# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How good the probabilities of a classifier are, by its logits alone."""
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
# Of the best temperature.
_TAUS = 0.05, 20.0


def log_probs_of(logits: np.ndarray, tau: float = 1.0) -> np.ndarray:
    """The log-probabilities of logits.

    Args:
        logits (np.ndarray): Of shape (N, C), of any type of floats.
        tau (float): Temperature. Defaults to 1.0.

    Returns:
        np.ndarray: float64 of shape (N, C), ``log softmax(logits / tau)``.
    """
    return log_softmax(np.asarray(logits, np.float64) / tau, axis=1)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is that of their class.

    Args:
        logits (np.ndarray): Of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
    """
    return float(np.mean(logits.argmax(1) == labels))


def nll(log_probs: np.ndarray, labels: np.ndarray) -> float:
    """The mean negative log-likelihood of the classes, in nats.

    Args:
        log_probs (np.ndarray): Log-probabilities of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
    """
    return -float(np.mean(log_probs[np.arange(len(labels)), labels]))


def reliability(log_probs: np.ndarray,
                labels: np.ndarray,
                bins: int = BINS) -> np.ndarray:
    """Confidence and accuracy of the predictions, by their confidence.

    Args:
        log_probs (np.ndarray): Log-probabilities of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
        bins (int): Number M of bins; bin m holds the confidences in
            ((m - 1) / M, m / M]. Defaults to 15.

    Returns:
        np.ndarray: Of shape (B, 3), for each bin that is not empty the mean
        confidence, the accuracy, and the share of the images.
    """
    confidence = np.exp(log_probs.max(1))
    right = log_probs.argmax(1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int), 1, bins) - 1
    counts = np.bincount(places, minlength=bins)
    sums = [
        np.bincount(places, values, minlength=bins)
        for values in (confidence, right)
    ]
    held = counts > 0
    means = [values[held] / counts[held] for values in sums]
    return np.stack([*means, counts[held] / len(labels)], 1)


def calibration_error(log_probs: np.ndarray,
                      labels: np.ndarray,
                      bins: int = BINS) -> float:
    """The expected calibration error.

    Equation 3 of "On Calibration of Modern Neural Networks" (ICML 2017, arXiv
    1706.04599): the mean over the images of the difference between confidence
    and accuracy of their bin, with bins of equal width.

    Args:
        log_probs (np.ndarray): Log-probabilities of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
        bins (int): See :func:`reliability`. Defaults to 15.
    """
    found = reliability(log_probs, labels, bins)
    return float(np.sum(np.abs(found[:, 0] - found[:, 1]) * found[:, 2]))


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least NLL, from 0.05 to 20.

    Temperature scaling, section 4.2 of the same paper. The NLL is convex in
    1 / tau, so that there is one minimum.

    Args:
        logits (np.ndarray): Of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
    """
    found = minimize_scalar(
        lambda log_tau: nll(log_probs_of(logits, np.exp(log_tau)), labels),
        bounds=np.log(_TAUS),
        method='bounded',
        options=dict(xatol=1e-5))
    return float(np.exp(found.x))
