# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmrazor.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmdgkd import ConfigError
from mmdgkd.models.distillers.edges import edges_for
from mmdgkd.models.distillers.ensembles import Ensembles, ensemble_logits
from mmdgkd.models.distillers.multi_teacher_distiller import build_distiller
from mmdgkd.models.losses.dense_kd_loss import dense_kd_loss

PACEMAKER = dict(pacemaker=['a', 'b'])
LOSS = dict(type='mmrazor.DenseKDLoss', tau=2.)
OF_STUDENT = dict(
    student_recorders=dict(
        logits=dict(type='mmrazor.ModuleOutputs', source='fc')))
OF_TEACHERS = dict(
    teacher_recorders=dict(
        logits=dict(type='mmrazor.MultiTeacherOutputs', source='fc')))
MAPPING = dict(
    preds_S=dict(recorder='logits', from_student=True),
    preds_T=dict(recorder='logits', from_student=False))


def network():
    return nn.ModuleDict(dict(fc=nn.Linear(3, 4)))


def distiller_of(names='abt', loss=LOSS, drop=None, **kwargs):
    """A distiller, its student and its teachers."""
    torch.manual_seed(0)
    student, teachers = network(), {name: network() for name in names}
    mapping = dict(MAPPING)
    if drop:
        mapping['preds_T'] = dict(mapping['preds_T'], connector='drop')
        kwargs['connectors'] = dict(
            drop=dict(type='mmrazor.StochasticDropConnector', **drop))
    cfg = dict(
        type='mmrazor.MultiTeacherDistiller', ensembles=PACEMAKER, **kwargs)
    if 'edges' not in kwargs:
        cfg.update(
            OF_STUDENT,
            **OF_TEACHERS,
            distill_losses=dict(loss_kd=loss),
            loss_forward_mappings=dict(loss_kd=mapping))
    return build_distiller(cfg, student, teachers), student, teachers


def step(distiller, student, teachers, number=0, run=None):
    """The losses, and the logits of student and teachers."""
    x = torch.randn(5, 3)
    active = distiller.begin_step(number)
    with distiller.teacher_recorders, torch.no_grad():
        logits = {name: teachers[name]['fc'](x) for name in (run or active)}
    with distiller.student_recorders:
        own = student['fc'](x)
    return distiller.compute_distill_losses(), own, logits


def test_means_by_hand():
    one, other = torch.tensor([[0., 2.]]), torch.tensor([[4., 0.]])
    assert torch.equal(ensemble_logits([one, other]), torch.tensor([[2., 1.]]))
    # Softmax at tau = 2: (1/(1+e), e/(1+e)) and (e^2/(e^2+1), 1/(e^2+1)).
    probs = (F.softmax(one / 2, 1) + F.softmax(other / 2, 1)) / 2
    found = ensemble_logits([one, other], 'probs', 2.)
    assert F.softmax(found / 2, 1)[0, 0].item() == pytest.approx(
        (1 / (1 + 2.718281828) + 1 / (1 + 2.718281828**-2)) / 2)
    torch.testing.assert_close(found, 2 * probs.log())
    # The geometric mean, at any temperature.
    for tau in (1., 3.):
        product = (F.softmax(one / tau, 1) * F.softmax(other / tau, 1)).sqrt()
        torch.testing.assert_close(
            F.softmax(ensemble_logits([one, other]) / tau, 1),
            product / product.sum())
    # Alone it has its own logits, but for a constant.
    torch.testing.assert_close(
        F.softmax(ensemble_logits([one], 'probs', 3.), 1), F.softmax(one, 1))


@pytest.mark.parametrize('mean', ['logits', 'probs'])
def test_an_ensemble_is_one_teacher_beside_the_others(mean):
    cfg = dict(pacemaker=dict(members=['b', 'a'], mean=mean, tau=2.))
    distiller, student, teachers = distiller_of()
    distiller._ensembles = Ensembles(cfg, list(teachers))
    losses, own, logits = step(distiller, student, teachers)
    together = ensemble_logits([logits['a'], logits['b']], mean, 2.)
    wanted, terms = dense_kd_loss(own, dict(p=together, t=logits['t']), tau=2.)
    torch.testing.assert_close(losses['loss_kd'], wanted)
    torch.testing.assert_close(losses['kd.pacemaker'], terms['p'])
    assert set(losses) == {'loss_kd', 'kd.pacemaker', 'kd.t'}
    assert losses['loss_kd'].requires_grad


def test_it_counts_as_one():
    paper = dict(LOSS, form='paper')
    assert distiller_of(loss=paper)[0].task_weight() == 2
    averaged = dict(LOSS, form='averaged')
    distiller, student, teachers = distiller_of(loss=averaged)
    losses, own, logits = step(distiller, student, teachers)
    together = (logits['a'] + logits['b']) / 2
    wanted, _ = dense_kd_loss(own, dict(p=together, t=logits['t']), tau=2.)
    torch.testing.assert_close(losses['loss_kd'], wanted / 2)
    weights = dict(LOSS, teacher_weights=dict(pacemaker=0.))
    losses = step(*distiller_of(loss=weights))[0]
    assert losses['kd.pacemaker'] == 0 < losses['kd.t']
    with pytest.raises(
            ConfigError,
            match='"a" is no teacher here; there are: '
            'pacemaker, t'):
        distiller_of(loss=dict(LOSS, teacher_weights=dict(a=0.)))


@pytest.mark.parametrize('all_run', [False, True])
def test_it_is_the_mean_of_its_active_members(all_run):
    """In another algorithm all run, and the connector takes some out."""
    distiller, student, teachers = distiller_of(drop=dict(num_drop=1))
    sizes = set()
    for number in range(12):
        losses, own, logits = step(distiller, student, teachers, number,
                                   'abt' if all_run else None)
        mask = distiller._drops[0]._mask
        members = [logits[name] for name in 'ab' if mask[name]]
        preds_T = dict(pacemaker=sum(members) / len(members))
        if mask['t']:
            preds_T['t'] = logits['t']
        wanted, _ = dense_kd_loss(own, preds_T, tau=2.)
        torch.testing.assert_close(losses['loss_kd'], wanted)
        assert {key[3:] for key in losses if key[:3] == 'kd.'} == {*preds_T}
        sizes.add(len(members))
    assert sizes == {1, 2}


def test_all_its_members_may_be_dropped():
    drop = dict(num_drop=2, protect='t')
    losses = step(*distiller_of(drop=drop))[0]
    assert set(losses) == {'loss_kd', 'kd.t'}


@pytest.mark.parametrize('reduction, share', [('sum', 1), ('mean', 2)])
def test_an_edge_of_an_ensemble(reduction, share):
    kl = dict(type='mmrazor.KLDivergence', tau=2.)
    default = dict(
        OF_STUDENT,
        **OF_TEACHERS,
        distill_losses=dict(loss_kl=kl),
        loss_forward_mappings=dict(loss_kl=MAPPING))
    distiller, student, teachers = distiller_of(
        edges=dict(default=default), edge_reduction=reduction)
    losses, own, logits = step(distiller, student, teachers)
    assert set(losses) == {'loss_kl_pacemaker', 'loss_kl_t'}
    wanted = MODELS.build(kl)(own, (logits['a'] + logits['b']) / 2) / share
    torch.testing.assert_close(losses['loss_kl_pacemaker'], wanted)
    policy = dict(num_drop=2, protect='t')
    distiller.connectors['drop'] = MODELS.build(
        dict(type='mmrazor.StochasticDropConnector', **policy))
    distiller._drops = (distiller.connectors['drop'], )
    assert set(step(distiller, student, teachers)[0]) == {'loss_kl_t'}


def test_an_ensemble_has_no_modules():
    maps = dict(
        teacher_recorders=dict(
            maps=dict(type='mmrazor.ModuleOutputs', source='fc')))
    with pytest.raises(
            ConfigError,
            match='ensembles.pacemaker: is a mean of '
            'logits and has no modules, as maps_pacemaker wants'):
        distiller_of(edges=dict(default=maps))
    distiller_of(edges=dict(default=maps, pacemaker=None))


def test_a_member_can_have_a_loss_of_its_own():
    mappings = dict(
        loss_kl=dict(
            preds_S=MAPPING['preds_S'],
            preds_T=dict(MAPPING['preds_T'], teacher='b')))
    kl = dict(type='mmrazor.KLDivergence', tau=2.)
    distiller, student, teachers = distiller_of()
    distiller.loss_forward_mappings = mappings
    distiller.distill_losses['loss_kl'] = MODELS.build(kl)
    losses, own, logits = step(distiller, student, teachers)
    torch.testing.assert_close(losses['loss_kl'],
                               MODELS.build(kl)(own, logits['b']))


def test_each_stage_has_what_is_left_of_it():
    template = dict(
        type='x',
        ensembles=dict(pacemaker=dict(members=['a', 'b'], mean='probs')),
        edges=dict(pacemaker=None, t=dict()))
    networks = ['t', 'a', 'b', 's']
    alone = edges_for(template, ['t'], networks)
    assert alone == dict(type='x', edges=dict(t=dict()))
    both = edges_for(template, ['a', 't'], networks)
    assert both['ensembles'] == dict(
        pacemaker=dict(members=['a'], mean='probs', tau=1.))
    assert both['edges'] == dict(pacemaker=None, t=dict())
    template['edges']['a'] = dict()
    with pytest.raises(
            ConfigError, match='edges.a: is in the ensemble "pacemaker"'):
        edges_for(template, ['t'], networks)


@pytest.mark.parametrize('ensembles, message', [
    (['a', 'b'], r"ensembles: is \['a', 'b'\], should be a dict"),
    (dict(p=[]), r'ensembles.p: \[\] should be a list of teachers'),
    (dict(p='ab'), "ensembles.p: 'ab' should be a list"),
    (dict(p=['a', 'c']), "ensembles.p: 'c' is no teacher; there are a, b, t"),
    (dict(t=['a', 'b']), 'ensembles.t: is the name of a network, too'),
    (dict(p=['a', 'b'], q=['b']), 'ensembles.q: "b" is in p, too'),
    (dict(lossy=['a', 'b']), 'ensembles.lossy: a name is made of letters'),
    (dict(p=dict(members=['a'], mean='max')),
     "ensembles.p.mean: 'max' is none of logits, probs"),
    (dict(p=dict(members=['a'], tau=0)), 'ensembles.p.tau: 0 should be above'),
    (dict(p=dict(member=['a'])), 'ensembles.p.member: is unknown; .* takes '
     'members, mean, tau'),
])
def test_mistakes_are_refused(ensembles, message):
    with pytest.raises(ConfigError, match='model.distiller.' + message):
        Ensembles(ensembles, ['a', 'b', 't'])


def test_only_logits_have_a_mean():
    ensembles = Ensembles(PACEMAKER, ['a', 'b'])
    for a, b in ((torch.zeros(2, 3),
                  torch.zeros(2, 4)), (torch.zeros(2, 3, 4, 4), ) * 2,
                 ((torch.zeros(2, 3), ), ) * 2):
        with pytest.raises(
                ConfigError,
                match='ensembles.pacemaker: is a mean '
                'of logits, all of one shape'):
            ensembles.merge(dict(a=a, b=b))
