# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The stacked estimate of several teachers, and what chance does to it.

Its logits are ``sum_k a_k z_k``, with ``a_k = w_k / tau_k >= 0``. The NLL is
convex in ``a``. One teacher alone has ``a = 1 / tau``, and is fitted in the
same range: otherwise two of it might be better than one.
"""
from typing import Optional, Sequence, Tuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize, nnls
from scipy.special import logsumexp

from .calibration import best_temperature, log_probs_of

# Numbers beyond which half the precision is enough, and twice as fast.
_MANY = 2**24
# Halvings of a step that does not fit the resample better.
_HALVINGS = 6


def as_stack(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Put the logits of K teachers together.

    Args:
        logits (Sequence[np.ndarray]): K arrays of shape (N, C).

    Returns:
        np.ndarray: Their log-probabilities, float64 of shape (K, N, C); of
        more than 16 million numbers float32.
    """
    kind = np.float64 if len(logits) * logits[0].size <= _MANY else np.float32
    return np.stack([log_probs_of(each).astype(kind) for each in logits])


def stack(
        logits: Sequence[np.ndarray],
        labels: np.ndarray,
        tau: Optional[Sequence[float]] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Weights and temperatures of least NLL.

    The estimate is ``p = softmax(sum_k w_k z_k / tau_k)``. Only
    ``w_k / tau_k`` matters: ``tau_k`` is the best temperature of teacher k
    alone, so that the weights compare.

    Args:
        logits (Sequence[np.ndarray]): K arrays of shape (N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
        tau (Sequence[float], optional): The best temperature of each teacher.
            Defaults to None: they are computed.

    Returns:
        tuple[np.ndarray, np.ndarray]: The weights, 0 or more, of shape (K, ),
        and the temperatures, likewise.
    """
    if tau is None:
        tau = [best_temperature(each, labels) for each in logits]
    tau = np.asarray(tau, np.float64)
    return fit(as_stack(logits), labels, 1 / (len(tau) * tau)) * tau, tau


def fit(stacked: np.ndarray, labels: np.ndarray,
        start: np.ndarray) -> np.ndarray:
    """The factors ``a`` of least NLL, by L-BFGS-B.

    Args:
        stacked (np.ndarray): See :func:`as_stack`, of shape (K, N, C).
        labels (np.ndarray): Classes, integers of shape (N, ).
        start (np.ndarray): Factors to begin with, of shape (K, ).

    Returns:
        np.ndarray: Of shape (K, ), 0 (a guess) or more.
    """
    flat = stacked.reshape(len(stacked), -1)
    own = _of_labels(stacked, labels).mean(1)

    def objective(factors: np.ndarray) -> Tuple[float, np.ndarray]:
        losses, probs = _losses(stacked, labels, factors)
        grads = flat @ probs.ravel() / len(labels) - own
        return losses.mean(), grads.astype(np.float64)

    found = minimize(
        objective,
        start,
        jac=True,
        method='L-BFGS-B',
        bounds=[(0, None)] * len(start))
    return found.x


def combined(stacked: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The log-probabilities of the stacked estimate.

    Args:
        stacked (np.ndarray): Of shape (K, N, C).
        factors (np.ndarray): Of shape (K, ).

    Returns:
        np.ndarray: float64 of shape (N, C).
    """
    return log_probs_of(np.tensordot(factors, stacked, 1))


def mean_of(stacked: np.ndarray) -> np.ndarray:
    """The logarithm of the teachers' mean probabilities.

    Args:
        stacked (np.ndarray): Of shape (K, N, C).

    Returns:
        np.ndarray: Of shape (N, C).
    """
    return logsumexp(stacked, axis=0) - np.log(len(stacked))


class Refits:
    """The losses of an estimate that is fitted to resamples of the images.

    A resample changes the factors little. So it is refitted by one step of
    Newton's method from the fit to all images, with the constraints, which is
    exact up to the third order of that change.

    Args:
        stacked (np.ndarray): Of shape (K, N, C); K is 1 for one teacher, or
            for the mean.
        labels (np.ndarray): Classes, integers of shape (N, ).
        factors (np.ndarray): The fit to all images, of shape (K, ).
    """

    def __init__(self, stacked: np.ndarray, labels: np.ndarray,
                 factors: np.ndarray) -> None:
        self.stacked, self.labels = stacked, labels
        self.factors = np.asarray(factors, np.float64)
        self.losses, probs = _losses(stacked, labels, self.factors)
        means = [np.einsum('nc,nc->n', probs, each) for each in stacked]
        self._grads = np.stack(means, 1) - _of_labels(stacked, labels).T
        self._hessians = np.empty((len(labels), len(stacked), len(stacked)))
        for i, one in enumerate(stacked):
            weighted = probs * one
            for j, other in enumerate(stacked[:i + 1]):
                found = np.einsum('nc,nc->n', weighted, other)
                found = found - means[i] * means[j]
                self._hessians[:, i, j] = self._hessians[:, j, i] = found

    def refit(self, counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Fit it to a resample.

        Args:
            counts (np.ndarray): How often each image is in it, integers of
                shape (N, ).

        Returns:
            tuple[np.ndarray, np.ndarray]: The factors, of shape (K, ), and the
            loss of each image, of shape (N, ), also of those that are not in
            the resample.
        """
        step = self._newton(counts / counts.sum()) - self.factors
        before = counts @ self.losses
        for _ in range(_HALVINGS):
            factors = self.factors + step
            losses, _ = _losses(self.stacked, self.labels, factors)
            if counts @ losses <= before:
                return factors, losses
            step = step / 2
        return self.factors, self.losses

    def _newton(self, shares: np.ndarray) -> np.ndarray:
        """The minimum of the second order, 0 or more."""
        grad = shares @ self._grads
        hessian = np.tensordot(shares, self._hessians, 1)
        # Teachers that are identical have no single minimum, and those that
        # nearly are have one that is lost in the rounding.
        least = max(1e-9, 10 * float(np.finfo(self.stacked.dtype).eps))
        hessian += np.eye(len(grad)) * (least * np.trace(hessian) + 1e-12)
        lower = np.linalg.cholesky(hessian)
        target = hessian @ self.factors - grad
        return nnls(lower.T, solve_triangular(lower, target, lower=True))[0]


def out_of_bag(refits: Sequence[Refits],
               resamples: int = 200,
               seed: int = 0) -> np.ndarray:
    """The NLL of refitted estimates on the images that they have not seen.

    A resample draws N images with replacement, so that 37 % of them are not in
    it: there what a fit owes to its own images does not count.

    Args:
        refits (Sequence[Refits]): The estimates; all get the same resamples.
        resamples (int): Number R of resamples. Defaults to 200.
        seed (int): Seed of the resamples. Defaults to 0.

    Returns:
        np.ndarray: Of shape (R, number of estimates).
    """
    count = len(refits[0].labels)
    random = np.random.default_rng(seed)
    rows = []
    while len(rows) < resamples:
        drawn = random.integers(count, size=count)
        counts = np.bincount(drawn, minlength=count)
        # Of a few images a resample may hold all.
        if not counts.all():
            rows.append(
                [each.refit(counts)[1][counts == 0].mean() for each in refits])
    return np.array(rows)


def interval(values: np.ndarray) -> Tuple[float, float, float]:
    """Mean, lower and upper end of the middle 95 %.

    Args:
        values (np.ndarray): Of shape (R, ).
    """
    low, high = np.quantile(values, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def _losses(stacked: np.ndarray, labels: np.ndarray,
            factors: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The loss of each image, and the probabilities, of shape (N, C)."""
    scores = np.tensordot(factors.astype(stacked.dtype), stacked, 1)
    scores -= scores.max(1, keepdims=True)
    own = scores[np.arange(len(labels)), labels].astype(np.float64)
    probs = np.exp(scores, out=scores)
    total = probs.sum(1, keepdims=True)
    losses = np.log(total[:, 0].astype(np.float64)) - own
    probs /= total
    return losses, probs


def _of_labels(stacked: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logits of the classes of the images, of shape (K, N)."""
    return stacked[:, np.arange(len(labels)), labels].astype(np.float64)
