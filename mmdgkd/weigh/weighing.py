# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""From the logits of several teachers to whether they pay."""
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np

from mmdgkd.errors import ConfigError
from .calibration import (accuracy, best_temperature, calibration_error, nll,
                          reliability)
from .stacking import (Refits, as_stack, combined, fit, interval, mean_of,
                       out_of_bag)

# Of what is compared and printed; weights in a config have no more, either.
_DIGITS = 4
# Resamples of fewer tell nothing, and those of a single one are all alike.
_LEAST_IMAGES = 20


def weigh(logits: Mapping[str, np.ndarray],
          labels: np.ndarray,
          resamples: int = 200,
          seed: int = 0) -> Dict[str, Any]:
    """Compare teachers, their mean and their stacked estimate by the NLL.

    A gain is by how much the NLL is less, in nats, on the images that are not
    in a resample to which all are fitted, against the best calibrated teacher
    and against the calibrated first one: a dict with ``value``, ``low`` and
    ``high``, the mean and the ends of the 95 % interval.

    Args:
        logits (Mapping[str, np.ndarray]): Of each teacher in the order of the
            chain, of shape (N, C), on images that none was trained on.
        labels (np.ndarray): Their classes, integers of shape (N, ).
        resamples (int): For the intervals. Defaults to 200.
        seed (int): Seed of the resamples. Defaults to 0.

    Returns:
        dict: What JSON can hold: ``images``, ``classes``, ``resamples``,
        ``seed``; ``teachers`` by name, ``mean`` and ``stack`` with their
        numbers; ``first`` and ``best``, names of teachers; ``by_number``, the
        NLL of the first 1, 2, ... teachers; ``teacher_weights`` and
        ``teacher_tau``; and ``sentence``.

    Raises:
        ConfigError: For fewer than 20 images, logits that are not finite, or
            labels that are no classes.
    """
    _check(logits, labels)
    names, each = [*logits], [*logits.values()]
    stacked = as_stack(each)
    mean = mean_of(stacked)
    ones = [_Scaled(one, labels) for one in (*stacked, mean)]
    tau = np.array([one.tau for one in ones[:-1]])
    alone = [one.nll for one in ones[:-1]]
    factors = fit(stacked, labels, 1 / (len(tau) * tau))
    best = int(np.argmin(alone))
    estimate = combined(stacked, factors)
    least = nll(estimate, labels)
    gains = _gains(stacked, labels, factors, ones, best, resamples, seed)
    lost: List[Any] = [None] * len(each)
    # The share of what may be chance tells nothing.
    if round(gains['stack']['best']['low'], _DIGITS) > 0:
        lost = _lost(stacked, labels, factors, alone[best] - least)
    teachers = {
        name:
        dict(
            **_quality(stacked[k], labels),
            tau=tau[k],
            nll_calibrated=alone[k],
            weight=factors[k] * tau[k],
            lost=lost[k])
        for k, name in enumerate(names)
    }
    found: Dict[str, Any] = _rounded(
        dict(
            images=len(labels),
            classes=stacked.shape[2],
            resamples=resamples,
            seed=seed,
            first=names[0],
            best=names[best],
            teachers=teachers,
            mean=dict(
                **_quality(mean, labels),
                tau=ones[-1].tau,
                nll_calibrated=ones[-1].nll,
                gain=gains['mean']),
            stack=dict(
                **_quality(estimate, labels),
                nll_calibrated=least,
                gain=gains['stack']),
            by_number=_by_number(stacked, labels, factors, least)))
    for key, of in (('teacher_weights', 'weight'), ('teacher_tau', 'tau')):
        found[key] = {name: one[of] for name, one in found['teachers'].items()}
    return dict(found, sentence=sentence_of(found))


def sentence_of(found: Mapping[str, Any]) -> str:
    """Whether dense guidance can pay, in one sentence.

    It can where the lower end of the gain over the best calibrated teacher is
    above 0, as it is printed.

    Args:
        found (Mapping): What :func:`weigh` has found.
    """
    teachers, first, best = found['teachers'], found['first'], found['best']
    pays = {
        form: found[form]['gain']['best']['low'] > 0
        for form in ('stack', 'mean')
    }
    teacher = f'{teachers[best]["nll_calibrated"]:.3f} of the calibrated ' \
        f'teacher {best}'
    if best != first:
        teacher += (f', which is better than the first, {first} '
                    f'({teachers[first]["nll_calibrated"]:.3f})')
    if len(teachers) == 1:
        return (f'dense guidance cannot pay here: there is one teacher, NLL '
                f'{teacher}')
    numbers = (f'NLL {found["stack"]["nll_calibrated"]:.3f} (stacked), '
               f'{found["mean"]["nll_calibrated"]:.3f} (mean) against '
               f'{teacher}')
    if all(pays.values()):
        return f'dense guidance can pay here: {numbers}'
    if pays['stack']:
        return (f'dense guidance can pay here if stacked: {numbers}; the plain'
                ' mean cannot')
    if pays['mean']:
        return (f'dense guidance can pay here by the plain mean: {numbers}; '
                'stacked it cannot')
    return f'dense guidance cannot pay here: {numbers}'


def _check(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    if len(labels) < _LEAST_IMAGES:
        raise ConfigError(
            f'chain.holdout: holds out {len(labels)} images, of which nothing '
            f'can be told; weigh needs {_LEAST_IMAGES} or more, better 1000')
    for name, each in logits.items():
        if not ((0 <= labels) & (labels < each.shape[1])).all():
            raise ConfigError(
                f'chain.networks.{name}: has {each.shape[1]} classes, but the '
                f'labels of the held-out images are {labels.min()} to '
                f'{labels.max()}')
        count = np.count_nonzero(~np.isfinite(each).all(1))
        if count:
            raise ConfigError(
                f'chain.networks.{name}: gives NaN or infinite scores for '
                f'{count} of {len(labels)} held-out images; train it again, or'
                ' leave it out by --teachers')


class _Scaled:
    """The log-probabilities of one estimate, calibrated.

    Attributes:
        stacked (np.ndarray): They, as a stack of one, of shape (1, N, C).
        factor (np.ndarray): The one of least NLL, of shape (1, ).
        tau (float): Its inverse; where that is out of bounds, the bound.
        nll (float): With that factor.
    """

    def __init__(self, log_probs: np.ndarray, labels: np.ndarray) -> None:
        self.stacked = log_probs[None]
        self.tau = best_temperature(log_probs, labels)
        self.factor = fit(self.stacked, labels, np.array([1 / self.tau]))
        self.nll = nll(combined(self.stacked, self.factor), labels)


def _quality(log_probs: np.ndarray, labels: np.ndarray) -> Dict[str, Any]:
    return dict(
        accuracy=100 * accuracy(log_probs, labels),
        nll=nll(log_probs, labels),
        calibration_error=calibration_error(log_probs, labels),
        reliability=reliability(log_probs, labels).tolist())


def _gains(stacked: np.ndarray, labels: np.ndarray, factors: np.ndarray,
           ones: Sequence[_Scaled], best: int, resamples: int,
           seed: int) -> Dict[str, Dict[str, Dict]]:
    """The gains of both estimates over the best and the first teacher.

    ``ones`` are the teachers and, as the last one, their mean.
    """
    # Most often it is the first that is best.
    alone = sorted({0, best})
    refits = [
        Refits(stacked, labels, factors), *[
            Refits(one.stacked, labels, one.factor)
            for one in (ones[-1], *[ones[k] for k in alone])
        ]
    ]
    losses = out_of_bag(refits, resamples, seed)
    against = dict(best=2 + alone.index(best), first=2)
    return {
        form: {
            key:
            dict(
                zip(('value', 'low', 'high'),
                    interval(losses[:, other] - losses[:, i])))
            for key, other in against.items()
        }
        for i, form in enumerate(('stack', 'mean'))
    }


def _lost(stacked: np.ndarray, labels: np.ndarray, factors: np.ndarray,
          gain: float) -> List[float]:
    """The share of the stacked gain that is lost without each teacher."""
    least = nll(combined(stacked, factors), labels)
    lost = []
    for k in range(len(factors)):
        others = np.delete(stacked, k, axis=0)
        # Those that take its place need to grow.
        start = np.delete(factors, k) + factors[k] / (len(factors) - 1)
        own = fit(others, labels, start)
        lost.append((nll(combined(others, own), labels) - least) / gain)
    return lost


def _by_number(stacked: np.ndarray, labels: np.ndarray, factors: np.ndarray,
               least: float) -> Dict[str, List[float]]:
    """The calibrated NLL of the first 1, 2, ... teachers in chain order."""
    found: Dict[str, List[float]] = dict(stack=[], mean=[])
    for count in range(1, len(stacked) + 1):
        some = stacked[:count]
        start = factors[:count] + factors[count:].sum() / count
        own = least if count == len(stacked) else nll(
            combined(some, fit(some, labels, start)), labels)
        found['stack'].append(own)
        found['mean'].append(_Scaled(mean_of(some), labels).nll)
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        # No -0.0.
        return round(float(value), _DIGITS) + 0.0
    return value
