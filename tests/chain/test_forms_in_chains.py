# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weights of teachers by image, in real chains."""
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.splits import fold_of
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss
from mmdgkd.models.losses.image_weights import ImageWeights
from mmdgkd.models.losses.teacher_weights import label_gate
from mmdgkd.structures.views import views_of

CONFIG = 'dgkd/resnet20_to_resnet8_digits_label_gate.py'
FOLDS = dict(num=2, seed=3, left_out=dict(resnet20=0, resnet14=1))


@pytest.fixture
def make(digits_cfg, tmp_path):
    """A function that gives a chain of three ResNet-8, with some options."""

    def make(work_dir='work', folds=None, **options):
        cfg = digits_cfg(CONFIG)
        for network in cfg.chain.networks.values():
            network.model.backbone.depth = 8
        cfg.model.distiller.distill_losses.loss_kd.update(options)
        if folds:
            cfg.chain.networks.resnet8.stage = dict(model=dict(folds=folds))
            # The TA has one teacher, which has seen all.
            cfg.chain.networks.resnet14.stage = dict(
                model=dict(folds=dict(num=2)))
        cfg.randomness = dict(seed=0)
        cfg.work_dir = str(tmp_path / work_dir)
        return cfg

    return make


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize('options', [
    dict(),
    dict(gate=None, unseen_weight=.9),
])
def test_the_store_makes_no_difference(make, weights_of, options):
    """With float32 in it, to the bit; and the option makes one."""
    folds = FOLDS if 'unseen_weight' in options else None
    live, stored = (make(name, folds, **options) for name in ('live', 'store'))
    plain = make('plain', gate=None)
    live.chain.logit_store = plain.chain.logit_store = None
    stored.chain.logit_store = dict(dtype='float32')
    for cfg in (live, stored, plain):
        ChainRunner(cfg).train()
    found = [weights_of(cfg, 'resnet8') for cfg in (live, stored, plain)]
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_each_image_is_taught_by_who_has_not_seen_it(make, monkeypatch):
    """With all of the weight: by that one alone."""
    seen, begin = [], ImageWeights.begin_batch
    weigh = ImageWeights.__call__

    def begun(self, batch):
        seen.append([views_of(batch._data_samples).indices])
        begin(self, batch)

    def weighed(self, logits, weights):
        found = weigh(self, logits, weights)
        seen[-1].append(dict(zip(weights, found)))
        return found

    monkeypatch.setattr(ImageWeights, 'begin_batch', begun)
    monkeypatch.setattr(ImageWeights, '__call__', weighed)
    ChainRunner(make(folds=FOLDS, gate=None, unseen_weight=1)).train()
    assert [len(weights) for _, weights in seen] == [1, 1, 2, 2]
    for indices, weights in seen[2:]:
        fold = fold_of(indices, 2, 3)
        assert set(np.unique(fold)) == {0, 1}
        assert weights['resnet20'].tolist() == (fold == 0).tolist()
        assert weights['resnet14'].tolist() == (fold == 1).tolist()


def test_with_dropped_teachers_and_ensembles(make, monkeypatch):
    """An ensemble with one active member counts as that member.

    With a gate: of two groups of one teacher each has its share; within one
    group the gate decides.
    """
    steps, begin = [], ImageWeights.begin_batch
    weigh = ImageWeights.__call__

    def begun(self, batch):
        steps.append([batch._parts, views_of(batch._data_samples).indices])
        begin(self, batch)

    def weighed(self, logits, weights):
        found = weigh(self, logits, weights)
        gated = label_gate(logits, self._labels, .5)
        steps[-1].append(dict(zip(weights, zip(found, gated))))
        return found

    cfg = make(folds=FOLDS, unseen_weight=.9)
    networks = cfg.chain.networks
    student = networks.pop('resnet8')
    networks.update(resnet11=dict(model=networks.resnet14.model))
    networks.resnet11.stage = dict(model=dict(folds=FOLDS))
    networks.resnet8 = student
    student.stage = dict(
        train_cfg=dict(max_epochs=4),
        model=dict(
            folds=dict(FOLDS, left_out=dict(FOLDS['left_out'], resnet11=1)),
            distiller=dict(
                ensembles=dict(pair=['resnet20', 'resnet14']),
                connectors=dict(
                    drop=dict(
                        type='mmrazor.StochasticDropConnector', num_drop=1)),
                loss_forward_mappings=dict(
                    loss_kd=dict(preds_T=dict(connector='drop'))))))
    monkeypatch.setattr(ImageWeights, 'begin_batch', begun)
    monkeypatch.setattr(ImageWeights, '__call__', weighed)
    ChainRunner(cfg).train()
    cases = set()
    for parts, indices, weights in steps[-8:]:
        cases.add(str(parts))
        if list(parts) == ['pair']:
            assert set(weights['pair'][0].tolist()) == {1}
        elif parts['pair'] == ['resnet14']:
            # It has not seen the images that resnet11 has not seen.
            for found, gated in weights.values():
                torch.testing.assert_close(found, gated)
        else:
            unseen = torch.from_numpy(fold_of(indices, 2, 3) == 0)
            torch.testing.assert_close(weights['pair'][0],
                                       torch.where(unseen, .9, .1))
            torch.testing.assert_close(weights['resnet11'][0],
                                       torch.where(unseen, .1, .9))
    assert len(cases) == 3


def test_folds_of_a_chain_by_hand(make, weights_of, monkeypatch):
    """By the words of a config alone; 0.5 of two teachers is their mean.

    The control are the same networks, of which no one is excluded.
    """
    steps, forward = [], DenseKDLoss.forward
    begin = DenseKDLoss.begin_batch

    def begun(self, batch):
        steps.append([views_of(batch._data_samples).indices])
        begin(self, batch)

    def computed(self, preds_S, preds_T):
        loss = forward(self, preds_S, preds_T)
        steps[-1] += [preds_S.detach(), preds_T, loss.item()]
        return loss

    live, stored, control = (make(name, gate=None, unseen_weight=share)
                             for name, share in (('live', .8), ('store', .8),
                                                 ('control', None)))
    for cfg in (live, stored, control):
        cfg.chain.folds, cfg.chain.logit_store = 2, None
    stored.chain.logit_store = dict(dtype='float32')
    with monkeypatch.context() as patch:
        patch.setattr(DenseKDLoss, 'begin_batch', begun)
        patch.setattr(DenseKDLoss, 'forward', computed)
        ChainRunner(live).train()
    # The two steps of the student.
    for indices, preds_S, preds_T, loss in steps[-2:]:
        wanted, student = 0, (preds_S / 4).double().log_softmax(1)
        for name, left_out in (('resnet20', 0), ('resnet14', 1)):
            share = np.where(fold_of(indices, 2) == left_out, .8, .2)
            teacher = (preds_T[name] / 4).double().log_softmax(1)
            kl = (teacher.exp() * (teacher - student)).sum(1)
            wanted += .9 * 4**2 * (torch.from_numpy(share) * kl).mean().item()
        assert loss == pytest.approx(wanted, rel=1e-5)
    for cfg in (stored, control):
        ChainRunner(cfg).train()
    same = {
        name: [
            equal(weights_of(live, name), weights_of(cfg, name))
            for cfg in (stored, control)
        ]
        for name in ('resnet20', 'resnet14', 'resnet8')
    }
    # A single teacher has all of the weight in any case.
    assert same == dict(
        resnet20=[True, True], resnet14=[True, True], resnet8=[True, False])


def test_kd_of_standardized_logits_by_hand(make, root, monkeypatch):
    """9 times the mean of both teachers at tau = 2, beside 0.1 CE."""
    steps, forward = [], DenseKDLoss.forward

    def computed(self, preds_S, preds_T):
        steps.append([preds_S, preds_T, forward(self, preds_S, preds_T)])
        return steps[-1][-1]

    monkeypatch.setattr(DenseKDLoss, 'forward', computed)
    cfg = make()
    cfg.model = Config.fromfile(
        str(root / 'configs/_base_/distillers/kd_standardized.py')).model
    assert cfg.model.task_loss_weight == .1
    ChainRunner(cfg).train()
    assert [len(preds_T) for _, preds_T, _ in steps] == [1, 1, 2, 2]
    for preds_S, preds_T, loss in steps:
        for logits in (preds_S, *preds_T.values()):
            assert logits.mean(1).abs().max() < 1e-5
            torch.testing.assert_close(logits.std(1), torch.ones(len(logits)))
        student = (preds_S / 2).double().log_softmax(1)
        teachers = torch.stack([*preds_T.values()]) / 2
        teachers = teachers.double().log_softmax(2)
        kl = (teachers.exp() * (teachers - student)).sum(2).mean()
        assert loss.item() == pytest.approx(9 * 2**2 * kl.item(), rel=1e-4)


@pytest.mark.parametrize('config', [
    'mutual/resnet20_to_resnet8_digits.py',
    'slimmable/joint_resnet20_to_resnet8_digits.py',
])
def test_several_networks_in_a_step_have_one_gate(digits_cfg, tmp_path, config,
                                                  monkeypatch):
    """Passed once a step, and used for each of them."""
    calls = []
    monkeypatch.setattr(ImageWeights, 'begin_batch',
                        _counted(ImageWeights.begin_batch, calls, 'passed'))
    monkeypatch.setattr(ImageWeights, '__call__',
                        _counted(ImageWeights.__call__, calls, 'used'))
    cfg = digits_cfg(config)
    cfg.model.distiller.distill_losses.loss_kd.update(
        form='averaged', gate=dict(type='label'))
    # The last network of the other chain has a stage of its own.
    cfg.chain.networks.pop('resnet8' if 'slim' in config else '', None)
    cfg.chain.pop('order', None)
    cfg.work_dir = str(tmp_path / 'work')
    ChainRunner(cfg).train()
    step = ['passed', *['used'] * (3 if 'slim' in config else 2)]
    assert calls == step * 2


def _counted(function, calls, name):

    def counted(self, *args):
        if self:
            calls.append(name)
        return function(self, *args)

    return counted


def test_folds_that_are_not_known_are_refused(make, refused):
    refused(
        make(gate=None, unseen_weight=.5),
        'loss_kd.unseen_weight: needs to know .* chain.folds')


@pytest.mark.parametrize('options, key', [
    (dict(), 'gate'),
    (dict(gate=None, teacher_tau=dict(resnet20=2.)), 'teacher_tau'),
])
def test_what_is_for_logits_as_they_are_is_refused(make, refused, options,
                                                   key):
    cfg = make(**options)
    cfg.model.distiller.connectors = dict(
        z=dict(type='mmrazor.StandardizeConnector'))
    cfg.model.distiller.loss_forward_mappings.loss_kd.preds_T.connector = 'z'
    refused(
        cfg, f'loss_kd.{key}: is for logits as they are, but its logits are '
        'standardized')


@pytest.mark.parametrize('options', [dict(), dict(gate=None, form='stacked')])
def test_logits_without_the_smallest_are_refused(make, refused, options):
    cfg = make(**options)
    cfg.chain.logit_store = dict(top_k=5, others='zero')
    refused(cfg, "chain.logit_store.others: 'zero' gives the other classes no")
