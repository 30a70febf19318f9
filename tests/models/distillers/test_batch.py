# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a loss may know of a batch."""
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError
from mmdgkd.models.distillers.batch import (Batch, begin_batch, check_unseen,
                                            parts_of)
from mmdgkd.models.distillers.ensembles import Ensembles
from mmdgkd.models.distillers.multi_teacher_distiller import \
    MultiTeacherDistiller

LABELS = torch.tensor([2, 0])


def samples():
    return [DataSample().set_gt_label(label) for label in LABELS]


def folds(**unseen):
    unseen = {name: torch.tensor(rows) for name, rows in unseen.items()}
    return SimpleNamespace(unseen=lambda *_: unseen)


def test_hard_and_soft_labels():
    mixed = samples()
    assert Batch(mixed, {}).labels('gate').tolist() == [2, 0]
    scores = torch.tensor([[0., .4, .6], [1., 0., 0.]])
    for sample, score in zip(mixed, scores):
        sample.set_gt_score(score)
    assert torch.equal(Batch(mixed, {}).labels('gate'), scores)


@pytest.mark.parametrize('given', [
    None,
    [],
    [DataSample()],
    [DataSample().set_gt_label(torch.tensor([0, 2]))],
])
def test_without_one_label_an_image(given):
    with pytest.raises(ConfigError, match='gate: needs the class of each ima'):
        Batch(given, {}).labels('gate')


def test_an_ensemble_has_seen_what_any_active_member_has():
    ensembles = Ensembles(dict(both=['a', 'b']), 'abc')
    given = folds(a=[True, True], b=[True, False])
    found = Batch(samples(), parts_of('abc', ensembles), given).unseen('u')
    assert {k: v.tolist() for k, v in found.items()} == dict(both=[True, 0])
    found = Batch(samples(), parts_of('ac', ensembles), given).unseen('u')
    assert {k: v.tolist() for k, v in found.items()} == dict(both=[True] * 2)
    # A member that has seen all.
    given = folds(a=[True, True])
    assert not Batch(samples(), parts_of('ab', ensembles), given).unseen('u')


@pytest.mark.parametrize('left_out, ensembles, warned', [
    (dict(a=0), None, False),
    (dict(a=0, b=1), dict(both=['a', 'b']), True),
    (dict(a=1, b=1), dict(both=['a', 'b']), False),
    (dict(a=1), dict(both=['a', 'b']), True),
    ({}, None, True),
    ({}, dict(all=['a', 'b', 'c']), False),
    (None, None, False),
])
def test_where_it_makes_no_difference_that_is_said(monkeypatch, left_out,
                                                   ensembles, warned):
    said = []
    monkeypatch.setattr('mmdgkd.models.distillers.batch.print_log',
                        lambda text, **_: said.append(text))
    losses = dict(
        loss_kd=SimpleNamespace(
            image_weights=SimpleNamespace(unseen_weight=0.)),
        loss_other=SimpleNamespace(
            image_weights=SimpleNamespace(unseen_weight=None)),
        loss_at=SimpleNamespace())
    seen = None if left_out is None else SimpleNamespace(left_out=left_out)
    check_unseen(losses, parts_of('abc', Ensembles(ensembles, 'abc')), seen)
    assert len(said) == warned
    if warned:
        assert said[0].startswith(
            'model.distiller.distill_losses.loss_kd.unseen_weight: changes no')


@pytest.mark.parametrize('has_drops', [False, True])
def test_of_an_ensemble_one_may_be_active_alone(monkeypatch, has_drops):
    said = []
    monkeypatch.setattr('mmdgkd.models.distillers.batch.print_log',
                        lambda text, **_: said.append(text))
    weights = SimpleNamespace(unseen_weight=1.)
    distiller = SimpleNamespace(
        has_drops=has_drops,
        distill_losses=dict(loss_kd=SimpleNamespace(image_weights=weights)),
        _names=['a', 'b', 'c'],
        _ensembles=Ensembles(dict(both=['a', 'b']), 'abc'))
    MultiTeacherDistiller.check_folds(distiller,
                                      SimpleNamespace(left_out=dict(a=0, b=1)))
    assert len(said) == (not has_drops)


def test_it_is_not_known_who_has_seen_what():
    with pytest.raises(ConfigError, match='u: needs to know .* chain.folds'):
        Batch(samples(), {}).unseen('u')


def test_partners_that_nobody_knows_are_refused():
    given, parts = folds(a=[True, False]), dict(a=['a'])
    assert Batch(samples(), parts, given).unseen('u')
    with pytest.raises(
            ConfigError, match='u: needs to know which images are mixed, but'):
        Batch(samples(), parts, given, mixed=True).unseen('u')
    # It makes no difference where all teachers have seen all images.
    assert not Batch(samples(), parts, folds(), mixed=True).unseen('u')


def test_only_losses_with_a_method_for_it_get_the_batch():
    passed = []
    other = SimpleNamespace(begin_batch=passed.append)
    begin_batch(dict(loss_a=object(), loss_b=other), 'batch')
    assert passed == ['batch']
    refused = SimpleNamespace(
        begin_batch=lambda batch: batch.labels('DenseKDLoss.gate'))
    with pytest.raises(
            ConfigError,
            match='model.distiller.distill_losses.loss_b.DenseKDLoss.gate: '):
        begin_batch(dict(loss_b=refused), Batch(None, {}))
