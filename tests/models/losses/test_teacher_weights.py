# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weights of teachers by hand, in Python's numbers."""
import math
from types import SimpleNamespace

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss, dense_kd_loss
from mmdgkd.models.losses.teacher_weights import (ca_mkd_gate, label_gate,
                                                  stack, unseen_shares)

# Two images, three classes.
A = [[2., 1., 0.], [0., 0., 3.]]
B = [[0., 4., 0.], [1., -1., 2.]]
C = [[1., 1., 1.], [5., 0., 0.]]
STUDENT = [[1., 0., -1.], [.5, .5, 0.]]
LABELS = [0, 2]
PREDS = dict(a=A, b=B, c=C)


def softmax(row, tau=1.):
    parts = [math.exp(value / tau) for value in row]
    return [part / sum(parts) for part in parts]


def kl(teacher, student, tau):
    """Times tau^2, as in the loss, of one image."""
    p, q = softmax(teacher, tau), softmax(student, tau)
    return tau**2 * sum(a * math.log(a / b) for a, b in zip(p, q))


def cross_entropy(row, label):
    return -math.log(softmax(row)[label])


def tensors(**preds):
    return {name: torch.tensor(rows) for name, rows in preds.items()}


def batch(labels=LABELS, **unseen):
    unseen = {name: torch.tensor(rows) for name, rows in unseen.items()}
    return SimpleNamespace(
        labels=lambda _: torch.tensor(labels), unseen=lambda _: unseen)


def by_image(weights, tau, names='abc'):
    """The loss with weights by image and teacher; and its terms."""
    terms = {
        name:
        sum(weights[i][k] * kl(PREDS[name][i], STUDENT[i], tau)
            for i in (0, 1)) / 2
        for k, name in enumerate(names)
    }
    return sum(terms.values()), terms


def check(loss, wanted, terms=None, names='abc'):
    preds_T = tensors(**{name: PREDS[name] for name in names})
    found = loss(torch.tensor(STUDENT), preds_T)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    for name, term in (terms or {}).items():
        assert float(loss.terms[name]) == pytest.approx(term, rel=1e-5)


def test_stacked_is_kd_from_one_estimate():
    """With weights and temperatures of the teachers, and tau of the loss."""
    w, t, tau = dict(a=2., b=.5), dict(b=4., c=.5), 3.
    wanted = sum(
        kl([2 * a + .5 * b / 4 + c / .5
            for a, b, c in zip(A[i], B[i], C[i])], STUDENT[i], tau)
        for i in (0, 1)) / 2
    loss = DenseKDLoss(
        tau=tau,
        form='stacked',
        loss_weight=.9,
        teacher_weights=dict(w, c=1.),
        teacher_tau=t)
    check(loss, .9 * wanted, dict(stacked=.9 * wanted))
    assert list(loss.terms) == ['stacked'] and loss.task_weight(3) == 1
    assert stack(torch.tensor([[[1., 2.]], [[3., 5.]]]),
                 [2., .5]).tolist() == [[3.5, 6.5]]


def test_stacked_weights_of_active_teachers_have_the_sum_of_all():
    """4 / 2.5 of the two that are left."""
    loss = DenseKDLoss(
        form='stacked', teacher_weights=dict(a=1.5, b=1.5, c=1.))
    loss.check_teachers(['a', 'b', 'c'])
    wanted = sum(
        kl([1.6 * (1.5 * a + c) for a, c in zip(A[i], C[i])], STUDENT[i], 1.)
        for i in (0, 1)) / 2
    check(loss, wanted, names='ac')


@pytest.mark.parametrize('names', ['abc', 'ac'])
@pytest.mark.parametrize('known', [True, False])
def test_stacked_without_weights_is_the_mean_of_logits(names, known):
    """As sharp as one teacher, also where some of them are dropped."""
    loss = DenseKDLoss(form='stacked', tau=2., teacher_tau=dict(c=.5))
    if known:
        loss.check_teachers(['a', 'b', 'c'])
    calibrated = dict(PREDS, c=[[v / .5 for v in row] for row in C])
    wanted = sum(
        kl([
            sum(column) / len(names)
            for column in zip(*[calibrated[name][i] for name in names])
        ], STUDENT[i], 2.) for i in (0, 1)) / 2
    check(loss, wanted, names=names)


def test_stacked_needs_the_weights_of_all_teachers_or_none():
    """Such as those of two, which were weighed, for a student of three."""
    weights = dict(a=.7, b=.4)
    loss = DenseKDLoss(form='stacked', teacher_weights=weights)
    loss.check_teachers(['b', 'a'])
    with pytest.raises(
            ConfigError,
            match="teacher_weights: form='stacked' needs the weights of all "
            'teachers or none, but there is none for c, d'):
        loss.check_teachers(['a', 'b', 'c', 'd'])
    DenseKDLoss(
        form='averaged', teacher_weights=weights).check_teachers(list('abcd'))
    DenseKDLoss(form='stacked').check_teachers(list('abcd'))


def test_stacked_without_weight_is_a_zero_with_a_graph():
    loss = DenseKDLoss(form='stacked', teacher_weights=dict(a=0., b=1.))
    loss.check_teachers(['a', 'b'])
    for preds_T in (tensors(a=A), {}):
        preds_S = torch.tensor(STUDENT, requires_grad=True)
        found = loss(preds_S, preds_T)
        found.backward()
        assert found == 0 and not preds_S.grad.any() and not loss.terms


def test_stacked_by_sigmoid():
    loss = DenseKDLoss(form='stacked', activation='sigmoid', tau=2.)
    mean = (torch.tensor(A) + torch.tensor(B)) / 2
    wanted, _ = dense_kd_loss(
        torch.tensor(STUDENT), dict(t=mean), 2., activation='sigmoid')
    check(loss, float(wanted), names='ab')


def test_one_stacked_teacher_has_the_bits_of_any_form():
    for form in ('released', 'averaged'):
        found = [
            DenseKDLoss(form=one, tau=4.)(torch.tensor(STUDENT), tensors(a=A))
            for one in (form, 'stacked')
        ]
        assert torch.equal(*found)


@pytest.mark.parametrize('form, divisor', [('released', 1), ('paper', 1),
                                           ('averaged', 3.5)])
def test_temperatures_of_single_teachers(form, divisor):
    loss = DenseKDLoss(
        tau=2.,
        form=form,
        teacher_weights=dict(b=1.5),
        teacher_tau=dict(a=.5, b=3.))
    terms = dict(
        a=sum(kl([v / .5 for v in A[i]], STUDENT[i], 2.) for i in (0, 1)) / 2,
        b=1.5 * sum(kl([v / 3 for v in B[i]], STUDENT[i], 2.)
                    for i in (0, 1)) / 2,
        c=sum(kl(C[i], STUDENT[i], 2.) for i in (0, 1)) / 2)
    terms = {name: term / divisor for name, term in terms.items()}
    check(loss, sum(terms.values()), terms)


@pytest.mark.parametrize('s', [.5, 2.])
def test_the_label_gate(s):
    weights = []
    for i, label in enumerate(LABELS):
        parts = [
            math.exp(-cross_entropy(PREDS[name][i], label) / s)
            for name in 'abc'
        ]
        weights.append([part / sum(parts) for part in parts])
    found = label_gate(torch.tensor([A, B, C]), torch.tensor(LABELS),
                       s).T.tolist()
    for mine, wanted in zip(found, weights):
        assert mine == pytest.approx(wanted, rel=1e-5)
    loss = DenseKDLoss(tau=2., form='averaged', gate=dict(type='label', s=s))
    loss.begin_batch(batch())
    check(loss, *by_image(weights, 2.))


def ca_mkd(names, i, label):
    losses = [cross_entropy(PREDS[name][i], label) for name in names]
    shares = softmax(losses)
    return [(1 - share) / (len(names) - 1) for share in shares]


def test_the_gate_of_ca_mkd():
    loss = DenseKDLoss(tau=2., form='averaged', gate=dict(type='ca_mkd'))
    loss.begin_batch(batch())
    weights = [ca_mkd('abc', i, label) for i, label in enumerate(LABELS)]
    check(loss, *by_image(weights, 2.))
    # Over those that are active; a single one has all.
    weights = [ca_mkd('ac', i, label) for i, label in enumerate(LABELS)]
    check(loss, *by_image(weights, 2., 'ac'), names='ac')
    check(loss, *by_image([[1], [1]], 2., 'b'), names='b')
    assert loss(torch.tensor(STUDENT), {}) == 0


def test_gates_are_at_the_temperatures_of_the_teachers_alone():
    """And times their weights."""
    weights = []
    for i, label in enumerate(LABELS):
        parts = [
            3 * math.exp(-cross_entropy([v / 2 for v in A[i]], label) / .5),
            math.exp(-cross_entropy(B[i], label) / .5)
        ]
        weights.append([part / sum(parts) for part in parts])
    wanted = sum(weights[i][0] * kl([v / 2 for v in A[i]], STUDENT[i], 4.) +
                 weights[i][1] * kl(B[i], STUDENT[i], 4.) for i in (0, 1)) / 2
    loss = DenseKDLoss(
        tau=4.,
        form='averaged',
        gate=dict(type='label'),
        teacher_tau=dict(a=2.),
        teacher_weights=dict(a=3.))
    loss.begin_batch(batch())
    check(loss, wanted, names='ab')


def test_gates_by_soft_labels():
    logits = torch.tensor([A, B, C])
    soft = torch.tensor([[.7, .3, 0.], [0., 0., 1.]])
    losses = [
        .7 * cross_entropy(row, 0) + .3 * cross_entropy(row, 1)
        for row in (A[0], B[0], C[0])
    ]
    parts = [math.exp(-loss) for loss in losses]
    found = label_gate(logits, soft, 1.)
    assert found[:, 0].tolist() == pytest.approx(
        [part / sum(parts) for part in parts], rel=1e-5)
    hard = torch.tensor([[1., 0., 0.], [0., 0., 1.]])
    torch.testing.assert_close(
        ca_mkd_gate(logits, hard), ca_mkd_gate(logits, torch.tensor(LABELS)))


@pytest.mark.parametrize('gate', [label_gate, ca_mkd_gate])
def test_an_image_without_a_class_has_no_gate(gate):
    """MMPretrain's heads ignore a label of -100, too."""
    options = (.5, ) if gate is label_gate else ()
    found, known = (
        gate(torch.tensor([A, B, C]), torch.tensor(labels), *options)
        for labels in ([-100, LABELS[1]], LABELS))
    torch.testing.assert_close(found[:, 0], torch.full((3, ), 1 / 3))
    assert torch.equal(found[:, 1], known[:, 1])


@pytest.mark.parametrize('share', [0, .5, .75, 1])
def test_shares_of_teachers_that_have_not_seen_an_image(share):
    """The first image b has not seen, the second neither of b and c."""
    loss = DenseKDLoss(tau=2., form='averaged', unseen_weight=share)
    loss.begin_batch(batch(b=[True, True], c=[False, True]))
    rest = 1 - share
    weights = [[rest / 2, share, rest / 2], [rest, share / 2, share / 2]]
    check(loss, *by_image(weights, 2.))
    # In proportion to their weights.
    loss = DenseKDLoss(
        tau=2.,
        form='averaged',
        unseen_weight=share,
        teacher_weights=dict(c=3.))
    loss.begin_batch(batch(b=[True, True], c=[False, True]))
    weights = [[rest / 4, share, rest * 3 / 4],
               [rest, share / 4, share * 3 / 4]]
    check(loss, *by_image(weights, 2.))


def test_an_image_that_all_or_none_have_seen_has_the_plain_weights():
    weights = torch.tensor([[.2, .2, .2], [.8, .8, .8]])
    unseen = torch.tensor([[True, False, True], [True, False, False]])
    found = unseen_shares(weights, unseen, 1)
    assert found.T.tolist(
    ) == [[pytest.approx(.2), pytest.approx(.8)]] * 2 + [[1, 0]]
    # A teacher without weight is in no group.
    found = unseen_shares(
        torch.tensor([[0.], [1.]]), torch.tensor([[True], [False]]), .5)
    assert found.tolist() == [[0], [1]]


def test_a_gate_within_the_groups():
    """Even where all of its weight, as rounded, is in the other group."""
    logits = torch.tensor([[[0., 300.]], [[300., 0.]], [[0., 300.]]])
    weights = label_gate(logits, torch.tensor([0]), .5)
    found = unseen_shares(weights, torch.tensor([[True], [False], [True]]), .5)
    assert found.flatten().tolist() == pytest.approx([.25, .5, .25])


def test_no_weight_is_no_loss():
    loss = DenseKDLoss(
        form='averaged',
        gate=dict(type='label'),
        unseen_weight=.5,
        teacher_weights=dict(a=0., b=0.))
    loss.begin_batch(batch(a=[True, False]))
    assert loss(torch.tensor(STUDENT), tensors(a=A, b=B)) == 0


def test_factors_keep_the_total_weight():
    preds_T, preds_S = tensors(a=A, b=B), torch.tensor(STUDENT)
    for form in ('averaged', 'stacked'):
        loss = DenseKDLoss(form=form, teacher_weights=dict(a=2., b=1.))
        loss.teacher_factors = dict(a=.1, b=.6)
        # 0.2 and 0.6 in proportion; the sum of both weights is 3.
        other = DenseKDLoss(form=form, teacher_weights=dict(a=.75, b=2.25))
        torch.testing.assert_close(
            loss(preds_S, preds_T), other(preds_S, preds_T))


def test_maps_have_shares_too():
    """Logits of shape (N, C, H, W): an image has one weight."""
    maps = torch.randn(3, 2, 5, 4, 4, generator=torch.Generator())
    loss = DenseKDLoss(form='averaged', unseen_weight=1)
    loss.begin_batch(batch(a=[True, True]))
    preds_T = dict(a=maps[0], b=maps[1])
    wanted, _ = dense_kd_loss(maps[2], dict(a=maps[0]))
    torch.testing.assert_close(loss(maps[2], preds_T), wanted)
    gated = DenseKDLoss(form='averaged', gate=dict(type='label'))
    gated.begin_batch(batch())
    with pytest.raises(ConfigError, match=r'gate: needs logits of shape \(N'):
        gated(maps[2], preds_T)


def test_a_loss_that_does_not_get_the_batch():
    for key, value in (('gate', dict(type='ca_mkd')), ('unseen_weight', 1)):
        loss = DenseKDLoss(form='averaged', **{key: value})
        with pytest.raises(ConfigError, match=f'{key}: needs the batch, whi'):
            loss(torch.tensor(STUDENT), tensors(a=A))
        assert not loss.state_dict()


def test_labels_that_do_not_exclude_each_other_have_no_gate():
    with pytest.raises(ConfigError, match='gate: is by the cross-entropy of'):
        DenseKDLoss(
            form='averaged', gate=dict(type='label'), activation='sigmoid')
    loss = DenseKDLoss(form='averaged', gate=dict(type='label'))
    with pytest.raises(ConfigError, match='gate: is by the cross-entropy of'):
        loss.fit_to_head('sigmoid')


def test_only_the_teachers_of_the_stage_have_temperatures():
    loss = DenseKDLoss(teacher_tau=dict(b=2.))
    with pytest.raises(ConfigError, match='teacher_tau: "b" is no teacher'):
        loss.check_teachers(['a'])


@pytest.mark.parametrize('settings, message', [
    (dict(gate=dict(type='label')), "gate: .*'averaged', not 'released'"),
    (dict(form='stacked', unseen_weight=.5),
     "unseen_weight: .*'averaged', not 'stacked'"),
    (dict(form='averaged', gate=dict(type='labels')), 'gate: .* must be dict'),
    (dict(form='averaged', gate='label'), "gate: 'label' must be dict"),
    (dict(form='averaged', gate=dict(type=['label'])),
     r"gate: \{'type': \['label'\]\} must be dict"),
    (dict(form='averaged', gate=dict(type='label', s=math.nan)),
     'gate.s: nan must be a number above 0'),
    (dict(form='averaged', gate=dict(type='label', s='1')),
     "gate.s: '1' must be a number above 0"),
    (dict(form='averaged', gate=dict(type='ca_mkd', s=1)),
     'gate.s: is unknown'),
    (dict(form='averaged', gate=dict(type='label', s=0)),
     'gate.s: 0 must be a number above 0'),
    (dict(form='averaged', unseen_weight=1.5),
     'unseen_weight: 1.5 must be from 0 to 1'),
    (dict(form='averaged', unseen_weight=math.nan),
     'unseen_weight: nan must be from 0 to 1'),
    (dict(form='averaged', unseen_weight='1'),
     "unseen_weight: '1' must be from 0 to 1"),
    (dict(form='averaged', unseen_weight=True),
     'unseen_weight: True must be from 0 to 1'),
    (dict(teacher_tau=dict(a=0)), 'teacher_tau.a: 0 must be a number above 0'),
    (dict(teacher_tau=2.), 'teacher_tau: 2.0 must be a number by teacher'),
    (dict(teacher_tau=[1, 2]), r'teacher_tau: \[1, 2\] must be a number by t'),
    (dict(teacher_weights='x'), "teacher_weights: 'x' must be a number by t"),
])  # yapf: disable
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message) as error:
        DenseKDLoss(**settings)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('form', ['released', 'paper', 'averaged', 'stacked'])
@pytest.mark.parametrize('value', [-1, math.nan, math.inf, '1', True, None])
def test_what_is_no_number_is_no_weight(form, value):
    for key in ('teacher_weights', 'teacher_tau'):
        with pytest.raises(
                ConfigError, match=f'{key}.a: {value!r} must be a number'):
            DenseKDLoss(form=form, **{key: dict(a=value)})


@pytest.mark.parametrize('form', ['averaged', 'stacked'])
def test_weights_that_are_all_0_are_refused(form):
    """There would be no distillation; the others may have all of it."""
    weights = dict(a=0., b=0)
    loss = DenseKDLoss(form=form, teacher_weights=weights)
    with pytest.raises(ConfigError, match='teacher_weights: are all 0, with'):
        loss.check_teachers(['a', 'b'])
    DenseKDLoss(
        form=form, teacher_weights=dict(a=0., b=1)).check_teachers(['a', 'b'])
    if form == 'averaged':
        # The third has weight 1.
        loss.check_teachers(['a', 'b', 'c'])
