# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
import sys

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.models.losses import KLDivergence
from torch.overrides import TorchFunctionMode

from mmdgkd import ConfigError
from mmdgkd.models.distillers.batch import Batch
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss, dense_kd_loss
from mmdgkd.models.teachers.teacher_folds import TeacherFolds


def logits(n=6, classes=10, seed=0):
    return 3 * torch.randn(
        n, classes, generator=torch.Generator().manual_seed(seed))


def by_hand(preds_S, preds_T, tau):
    """The sum over samples, not yet divided by anything."""
    p = (preds_T / tau).softmax(1)
    q = (preds_S / tau).softmax(1)
    return tau**2 * (p * (p.log() - q.log())).sum()


@pytest.mark.parametrize('tau', [1.0, 5.0])
@pytest.mark.parametrize('reduction, divisor', [('batchmean', 6),
                                                ('mean', 60)])
def test_it_is_the_formula(tau, reduction, divisor):
    preds_S, preds_T = logits(), {'a': logits(seed=1), 'b': logits(seed=2)}
    loss, terms = dense_kd_loss(preds_S, preds_T, tau, reduction)
    for name, term in terms.items():
        torch.testing.assert_close(
            term,
            by_hand(preds_S, preds_T[name], tau) / divisor)
    torch.testing.assert_close(loss, terms['a'] + terms['b'])


@pytest.mark.parametrize('reduction', ['batchmean', 'mean'])
def test_one_teacher_gives_the_bits_of_mmrazors_kl(reduction):
    mine, theirs = logits().requires_grad_(), logits().requires_grad_()
    preds_T = logits(seed=1)
    settings = dict(tau=4.0, reduction=reduction, loss_weight=0.7)
    loss = DenseKDLoss(**settings)(mine, {'t': preds_T})
    expected = KLDivergence(**settings)(theirs, preds_T)
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected)
    assert torch.equal(mine.grad, theirs.grad)


def sigmoid_by_hand(preds_S, preds_T, tau):
    """Label by label, in Python's numbers."""
    total = 0.
    for s, t in zip(preds_S.flatten().tolist(), preds_T.flatten().tolist()):
        q, p = 1 / (1 + math.exp(-s / tau)), 1 / (1 + math.exp(-t / tau))
        total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    return tau**2 * total


@pytest.mark.parametrize('tau', [1.0, 5.0])
@pytest.mark.parametrize('reduction, divisor', [('batchmean', 6),
                                                ('mean', 60)])
def test_labels_that_do_not_exclude_each_other(tau, reduction, divisor):
    preds_S, preds_T = logits(), {'a': logits(seed=1), 'b': logits(seed=2)}
    loss, terms = dense_kd_loss(
        preds_S, preds_T, tau, reduction, activation='sigmoid')
    for name, term in terms.items():
        wanted = sigmoid_by_hand(preds_S, preds_T[name], tau) / divisor
        assert float(term) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(loss, terms['a'] + terms['b'])
    same, _ = dense_kd_loss(preds_S, {'s': preds_S}, activation='sigmoid')
    assert same == 0


def test_the_sigmoid_of_large_logits():
    preds_S = torch.tensor([[200., -200.]], requires_grad=True)
    loss, _ = dense_kd_loss(
        preds_S, {'t': -preds_S.detach()}, activation='sigmoid')
    loss.backward()
    assert loss == 400 and preds_S.grad.tolist() == [[1, -1]]


def test_all_forms_have_it():
    preds_T = {'a': logits(seed=1), 'b': logits(seed=2)}
    settings = dict(tau=4., loss_weight=.9)
    wanted, _ = dense_kd_loss(
        logits(), preds_T, **settings, activation='sigmoid')
    for form, share in (('released', 1), ('paper', 1), ('averaged', 2)):
        loss = DenseKDLoss(form=form, activation='sigmoid', **settings)
        torch.testing.assert_close(loss(logits(), preds_T), wanted / share)


def test_one_logit_needs_the_sigmoid():
    one = logits(classes=1)
    for loss in (DenseKDLoss(), DenseKDLoss(activation='softmax')):
        with pytest.raises(
                ConfigError, match='a softmax over one logit is always 1'):
            loss(one, {'t': logits(classes=1, seed=1)})
    chosen = DenseKDLoss()
    chosen.fit_to_head('sigmoid')
    with pytest.raises(ConfigError, match="set activation='sigmoid'"):
        chosen.check_classes(1)
    loss = DenseKDLoss(activation='sigmoid')
    assert loss(one, {'t': logits(classes=1, seed=1)}) > 0


def test_the_head_of_the_student_chooses():
    loss = DenseKDLoss()
    loss.fit_to_head('sigmoid')
    assert loss.activation == 'sigmoid'
    with pytest.raises(ConfigError, match='trained together differ'):
        loss.fit_to_head('softmax')
    given = DenseKDLoss(activation='softmax')
    given.fit_to_head('sigmoid')
    assert given.activation == 'softmax'


def test_an_unknown_head_gets_a_warning(monkeypatch):
    lines = []
    module = sys.modules[DenseKDLoss.__module__]
    monkeypatch.setattr(module, 'print_log',
                        lambda line, **_: lines.append(line))
    loss = DenseKDLoss()
    loss.fit_to_head(None)
    assert loss.activation == 'softmax' and len(lines) == 1
    assert 'DenseKDLoss.activation: the head of the student' in lines[0]


class CountLogSoftmax(TorchFunctionMode):
    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += func is torch.nn.functional.log_softmax
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('teachers', [1, 4])
def test_one_log_softmax_however_many_teachers(teachers):
    preds_T = {str(i): logits(seed=i) for i in range(teachers)}
    with CountLogSoftmax() as count:
        DenseKDLoss()(logits(seed=9), preds_T)
    assert count.calls == 1


def test_weights_of_single_teachers():
    preds_T = {'a': logits(seed=1), 'b': logits(seed=2)}
    plain, weighed = DenseKDLoss(), DenseKDLoss(teacher_weights=dict(b=0.5))
    plain(logits(), preds_T)
    loss = weighed(logits(), preds_T)
    assert torch.equal(weighed.terms['a'], plain.terms['a'])
    torch.testing.assert_close(weighed.terms['b'], plain.terms['b'] / 2)
    torch.testing.assert_close(loss, sum(weighed.terms.values()))
    with pytest.raises(ConfigError, match='"b" is no teacher here; there are'):
        weighed.check_teachers(['a'])


def test_teachers_get_no_gradient_and_terms_no_graph():
    preds_S = logits().requires_grad_()
    preds_T = logits(seed=1).requires_grad_()
    module = DenseKDLoss()
    module(preds_S, {'t': preds_T}).backward()
    assert preds_T.grad is None and preds_S.grad is not None
    assert not module.terms['t'].requires_grad


def test_half_precision_is_raised():
    preds_S, preds_T = logits().bfloat16(), logits(seed=1).bfloat16()
    loss, _ = dense_kd_loss(preds_S, {'t': preds_T})
    expected, _ = dense_kd_loss(preds_S.float(), {'t': preds_T.float()})
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


def test_no_teacher_is_a_zero_with_a_graph():
    preds_S = logits().requires_grad_()
    loss = DenseKDLoss()(preds_S, {})
    loss.backward()
    assert loss == 0 and not preds_S.grad.any()


def test_other_classes_are_refused():
    with pytest.raises(ValueError, match=r'teacher "t" have shape \(6, 7\)'):
        DenseKDLoss()(logits(), {'t': logits(classes=7)})


@pytest.mark.parametrize('form, count', [('released', 1), ('paper', 4),
                                         ('averaged', 1)])
def test_the_forms_count_the_cross_entropy(form, count):
    assert DenseKDLoss(form=form).task_weight(4) == count


@pytest.mark.parametrize('active', ['a', 'ab', 'abc'])
def test_the_averaged_form_has_one_weight_however_many_are_active(active):
    preds_S = logits()
    preds_T = {name: logits(seed=ord(name)) for name in active}
    alone = [
        dense_kd_loss(preds_S, {name: preds}, 4.0, 'batchmean', 0.9)[0]
        for name, preds in preds_T.items()
    ]
    loss = DenseKDLoss(form='averaged', tau=4.0, loss_weight=0.9)
    torch.testing.assert_close(loss(preds_S, preds_T), sum(alone) / len(alone))
    torch.testing.assert_close(
        sum(loss.terms.values()),
        sum(alone) / len(alone))


def test_the_averaged_form_averages_by_weight():
    preds_S = logits()
    preds_T = {'a': logits(seed=1), 'b': logits(seed=2)}
    a, b = (
        dense_kd_loss(preds_S, {'t': preds})[0] for preds in preds_T.values())
    loss = DenseKDLoss(form='averaged', teacher_weights=dict(a=3.0))
    torch.testing.assert_close(loss(preds_S, preds_T), (3 * a + b) / 4)
    weightless = DenseKDLoss(
        form='averaged', teacher_weights=dict(a=0.0, b=0.0))
    assert weightless(preds_S, preds_T) == 0


@pytest.mark.parametrize('settings', [
    dict(),
    dict(unseen_weight=0.5),
    dict(gate=dict(type='ca_mkd')),
    dict(form='stacked')
])
@pytest.mark.parametrize('factor', [1e-3, 1e-40, 1e-300])
def test_only_the_ratios_of_weights_count(settings, factor):
    """A curriculum gives a teacher that is far off nearly no weight.

    Where all others are dropped it is the only one.
    """
    preds_S, preds_T = logits(), {'a': logits(seed=1), 'b': logits(seed=2)}
    samples = [DataSample().set_gt_label(1) for _ in preds_S]
    folds = TeacherFolds(2, {}, 0)

    def loss_of(ratio, names, factor=1.0):
        loss = DenseKDLoss(**{'form': 'averaged', **settings})
        loss.teacher_factors = dict(a=factor, b=ratio * factor)
        loss.begin_batch(
            Batch(samples, {name: [name]
                            for name in names}, folds))
        return loss(preds_S, {name: preds_T[name] for name in names})

    for ratio in (1, 0.5):
        for names in ('a', 'ab'):
            assert torch.allclose(
                loss_of(ratio, names, factor), loss_of(ratio, names))
    assert torch.allclose(loss_of(1e-60, 'ab'), loss_of(1, 'a'))


@pytest.mark.parametrize('settings, message', [
    (dict(loss_weight='a'), "loss_weight: 'a' must be a number, 0 or more"),
    (dict(loss_weight=-1), 'loss_weight: -1 must be a number, 0 or more'),
    (dict(loss_weight=None), 'loss_weight: None must be a number'),
    (dict(reduction='sum'), "reduction: 'sum' is none of"),
    (dict(form='mine'), "form: 'mine' is none of"),
    (dict(tau=0), 'tau: 0 must be a number above 0'),
    (dict(tau='4'), "tau: '4' must be a number above 0"),
    (dict(tau=None), 'tau: None must be a number above 0'),
    (dict(tau=float('nan')), 'tau: nan must be a number above 0'),
    (dict(tau=float('inf')), 'tau: inf must be a number above 0'),
    (dict(activation='relu'), "activation: 'relu' is none of"),
])  # yapf: disable
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        DenseKDLoss(**settings)
