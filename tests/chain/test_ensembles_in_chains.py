# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains with ensembles of teachers."""
import glob
import os.path as osp
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.methods.row_conv.row_stream import RowStream

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ON_THE_FLY = CONFIGS / 'onthefly/pacemaker_resnet20_to_resnet8_digits.py'
STOCHASTIC = CONFIGS / 'dgkd/resnet20_to_resnet8_digits_stochastic.py'


def logged(cfg, name):
    """The log of a stage."""
    path, = glob.glob(osp.join(cfg.work_dir, name, '2*', '*.log'))
    return Path(path).read_text()


@pytest.mark.slow
def test_a_pacemaker_then_the_teacher_and_rows_that_arrive(
        tiny_cfg, built_from_file):
    cfg = tiny_cfg(config=ON_THE_FLY)
    cfg.default_hooks.logger.interval = 1
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet14_row']['guides'] == ['resnet20']
    assert ledger['resnet8_row_paced']['guides'] == [
        'resnet14', 'resnet14_row'
    ]
    first, last = (
        logged(cfg, f'resnet8_row{form}') for form in ('_paced', ''))
    assert 'distill.kd.pacemaker: ' in first
    assert 'kd.resnet14' not in first
    assert 'distill.kd.resnet20: ' in last and 'kd.pacemaker' not in last
    # The second phase begins with the weights of the first.
    hooks = Config.fromfile(
        f'{cfg.work_dir}/resnet8_row/config.py').custom_hooks
    assert hooks[-1].type == 'mmrazor.InitFromHook'
    assert hooks[-1].source == 'resnet8_row_paced'
    model = built_from_file(cfg, 'resnet8_row')
    assert model.backbone.conv1.weight.shape == (16, 3, 1, 3)
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        wanted = model(images)
    torch.testing.assert_close(
        RowStream(model, (3, 8, 8))(images), wanted, rtol=0, atol=2e-6)


def stochastic(tiny_cfg, work_dir, **store):
    cfg = tiny_cfg(2, config=STOCHASTIC, work_dir=work_dir)
    cfg.model.distiller.ensembles = dict(
        pacemaker=dict(members=['resnet14', 'resnet20'], mean='probs'))
    cfg.chain.logit_store = store or None
    return cfg


@pytest.mark.slow
def test_resumed_and_cached_it_has_the_same_bits(tiny_cfg, killed_and_whole,
                                                 weights_of):
    """One member, drawn anew, is dropped in each step."""
    whole, torn = (
        stochastic(tiny_cfg, name, dtype='float32')
        for name in ('whole', 'torn'))
    one, other = killed_and_whole(whole, torn, 'resnet8', 3)
    assert all(torch.equal(data, other[name]) for name, data in one.items())
    assert 'distill.kd.pacemaker: ' in logged(whole, 'resnet8')
    live = stochastic(tiny_cfg, 'live')
    live.randomness = dict(seed=0)
    ChainRunner(live).train()
    other = weights_of(live, 'resnet8')
    assert all(torch.equal(data, other[name]) for name, data in one.items())


@pytest.mark.parametrize('change, message', [
    (dict(ensembles=dict(pacemaker=['resnet14', 'resnet26'])),
     "model.distiller.ensembles.pacemaker: 'resnet26' is no teacher; there "
     'are resnet20, resnet14'),
    (dict(ensembles=dict(resnet14=['resnet20'])),
     'model.distiller.ensembles.resnet14: is the name of a network'),
    (dict(distill_losses=dict(loss_kd=dict(teacher_weights=dict(resnet14=1)))),
     'model: for the stage "resnet8_row_paced": DenseKDLoss.teacher_weights: '
     '"resnet14" is no teacher here; there are: pacemaker'),
    (dict(teacher_recorders=dict(logits=dict(source='backbone.layer3'))),
     'model.distiller.ensembles.pacemaker: is a mean of logits, all of one'),
])
def test_mistakes_are_refused_before_any_training(tiny_cfg, refused, change,
                                                  message):
    cfg = tiny_cfg(config=ON_THE_FLY)
    cfg.chain.logit_store = None
    cfg.chain.guidance = {
        'resnet8_row_paced': cfg.chain.guidance.resnet8_row_paced
    }
    cfg.merge_from_dict(dict(model=dict(distiller=change)))
    refused(cfg, message)


def test_a_teacher_of_a_member_alone_has_the_ensembles_name(tiny_cfg):
    """A TA of a dense chain is distilled from the members before it."""
    cfg = tiny_cfg()
    cfg.model.distiller.ensembles = dict(pacemaker=['resnet20', 'resnet14'])
    chain = Chain.from_cfg(cfg.chain)
    members = [
        stage_config(Config(cfg.to_dict()), chain, name, {},
                     cfg.work_dir).model.distiller.ensembles.pacemaker.members
        for name in ('resnet14', 'resnet8')
    ]
    assert members == [['resnet20'], ['resnet14', 'resnet20']]
