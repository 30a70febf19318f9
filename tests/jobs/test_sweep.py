# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which jobs a chain is, and what they share."""
import copy
import json
import os
import os.path as osp
import shutil

import pytest
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.jobs import Sweep


def jobs_of(sweep):
    return {
        str(job): sorted(map(str, needs))
        for job, needs in sweep.todo().items()
    }


def written(sweep, run):
    sweep.write_configs(osp.join(sweep.path, 'jobs'))
    return Config.fromfile(osp.join(sweep.path, 'jobs', f'{run}.py'))


def test_a_chain_is_a_job_for_each_network(tiny_cfg):
    cfg = tiny_cfg()
    sweep = Sweep(cfg, ['dense'], [3])
    assert jobs_of(sweep) == dict(
        resnet20=[], resnet14=['resnet20'], resnet8=['resnet14', 'resnet20'])
    assert sweep.runs == [cfg.work_dir]
    again = written(sweep, 'chain')
    assert again.randomness.seed == 3
    assert Chain.from_cfg(again.chain).teachers == Chain.from_cfg(
        cfg.chain).teachers


def test_what_is_trained_alike_is_trained_once(tiny_cfg):
    """TAKD's second network is that of DGKD, its third is not."""
    sweep = Sweep(tiny_cfg(), ['dense', 'sequential', 'none'], [0, 1])
    assert jobs_of(sweep) == {
        'dense_seed0/resnet20': [],
        'dense_seed0/resnet14': ['dense_seed0/resnet20'],
        'dense_seed0/resnet8':
        ['dense_seed0/resnet14', 'dense_seed0/resnet20'],
        'dense_seed1/resnet8':
        ['dense_seed0/resnet14', 'dense_seed0/resnet20'],
        'sequential_seed0/resnet8': ['dense_seed0/resnet14'],
        'sequential_seed1/resnet8': ['dense_seed0/resnet14'],
        'none_seed0/resnet14': [],
        'none_seed0/resnet8': [],
        'none_seed1/resnet8': [],
    }
    cfg = written(sweep, 'sequential_seed1')
    assert cfg.randomness.seed == 1
    given, student = cfg.chain.networks
    assert given.ckpt_path == osp.join(sweep.path,
                                       'dense_seed0/resnet14/resnet14.pth')
    chain = Chain.from_cfg(cfg.chain)
    assert chain.teachers == dict(resnet14=(), resnet8=('resnet14', ))
    assert chain.logit_store['store_dir'] == osp.join(sweep.path, 'logits')
    assert written(sweep, 'none_seed1').chain.networks[0].name == 'resnet8'
    stores = {
        written(sweep, run).chain.views.seed
        for run in ('dense_seed0', 'dense_seed1')
    }
    assert stores == {0}


def test_a_mapping_says_what_a_word_would_not(tiny_cfg):
    """The third network of four has no teacher that others train."""
    cfg = tiny_cfg()
    networks = cfg.chain.networks
    networks['resnet26'] = dict(
        networks.resnet20, model=dict(backbone=dict(depth=26)))
    cfg.chain.order = ['resnet26', 'resnet20', 'resnet14', 'resnet8']
    sweep = Sweep(cfg, ['independent', 'dense'])
    chain = Chain.from_cfg(written(sweep, 'dense').chain)
    assert chain.teachers['resnet20'] == ('resnet26', )
    assert chain.teachers['resnet8'] == ('resnet26', 'resnet20', 'resnet14')


def test_folds_are_those_among_all_networks(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.folds = 2
    sweep = Sweep(cfg, ['independent', 'sequential'])
    folds = [(each.name, each.fold)
             for each in written(sweep, 'sequential').chain.networks]
    assert folds == [('resnet20', 0), ('resnet14', 1), ('resnet8', None)]
    sweep = Sweep(cfg, ['dense', 'sequential'])
    folds = [(each.name, each.fold)
             for each in written(sweep, 'sequential').chain.networks]
    assert folds == [('resnet14', 1), ('resnet8', None)]


def test_guidance_by_a_mapping(tiny_cfg):
    """It names a TA that is no teacher of the student."""
    cfg = tiny_cfg()
    cfg.chain.guidance = dict(resnet14=['resnet20'], resnet8=['resnet20'])
    sweep = Sweep(cfg, seeds=[0, 1])
    chain = Chain.from_cfg(written(sweep, 'seed1').chain)
    assert chain.teachers == dict(resnet20=(), resnet8=('resnet20', ))


def test_runs_that_are_the_same(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14 = None
    sweep = Sweep(cfg, ['direct', 'dense', 'none'])
    assert list(jobs_of(sweep)) == [
        'direct/resnet20', 'direct/resnet8', 'none/resnet8'
    ]
    assert [osp.basename(run) for run in sweep.runs] == ['direct', 'none']


def test_what_is_done_is_no_job(trained, tmp_path):
    cfg = copy.deepcopy(trained[0])
    path = tmp_path / 'copied'
    shutil.copytree(cfg.work_dir, path)
    cfg.work_dir = str(path)
    assert not Sweep(cfg).todo()
    data = json.loads((path / 'chain.json').read_text())
    data['stages']['resnet14']['state'] = 'running'
    (path / 'chain.json').write_text(json.dumps(data))
    assert jobs_of(Sweep(cfg)) == dict(resnet14=[])


def test_what_was_removed_is_a_job_again(trained, tmp_path):
    cfg = copy.deepcopy(trained[0])
    cfg.work_dir = str(tmp_path / 'work')
    shutil.copytree(trained[0].work_dir, cfg.work_dir)
    os.remove(os.path.join(cfg.work_dir, 'resnet14', 'resnet14.pth'))
    (job, ) = Sweep(cfg).todo()
    assert str(job) == 'resnet14'


def test_parts_of_other_networks_are_not_shared(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.snapshots = [0.5]
    sweep = Sweep(cfg, ['dense'])
    assert 'resnet20_50' in jobs_of(sweep)
    chain = Chain.from_cfg(written(sweep, 'chain').chain)
    assert chain.teachers == Chain.from_cfg(cfg.chain).teachers
    with pytest.raises(ConfigError, match='^--seeds, --guidance: "resnet20_5'):
        Sweep(cfg, seeds=[0, 1])


def test_what_a_network_begins_from_is_no_teacher(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14 = None
    cfg.chain.networks.resnet8 = dict(
        cfg.chain.networks.resnet20, init_from='resnet20')
    assert jobs_of(Sweep(cfg, ['none', 'direct'])) == {
        'none/resnet20': [],
        'none/resnet8': ['none/resnet20'],
        'direct/resnet8': ['none/resnet20']
    }


def test_a_shared_teacher_keeps_its_normalization(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.stage = dict(
        data_preprocessor=dict(mean=[10.0] * 3), train_cfg=dict(max_epochs=3))
    given = written(Sweep(cfg, seeds=[0, 1]), 'seed1').chain
    teacher = Chain.from_cfg(given)['resnet20']
    assert teacher.ckpt_path
    assert teacher.stage == dict(data_preprocessor=dict(mean=[10.0] * 3))


@pytest.mark.parametrize(
    'guidance', ['dense', dict(resnet8=['resnet20'])], ids=['word', 'mapping'])
def test_what_was_trained_otherwise(tiny_cfg, guidance):
    """The runs are checked and rehearsed; what is done must fit."""
    cfg = tiny_cfg()
    cfg.chain.guidance = guidance
    cfg.chain.preflight = True
    sweep = Sweep(cfg, seeds=[0, 1])
    sweep.check(rehearsal=True)
    assert not osp.exists(cfg.work_dir)
    sweep.write_configs(osp.join(sweep.path, 'jobs'))
    for job in sweep.todo():
        path, _, _, _, name, _ = sweep.words(job, osp.join(sweep.path, 'jobs'))
        once = Config.fromfile(path)
        once.chain.preflight = False
        ChainRunner(once, only=name).train()
    assert not sweep.todo()
    sweep.check(rehearsal=True)
    cfg.train_cfg.max_epochs = 2
    with pytest.raises(ConfigError, match='trained with another config'):
        Sweep(cfg, seeds=[0, 1]).check(rehearsal=False)


def test_runs_without_a_seed(tiny_cfg):
    cfg = tiny_cfg()
    cfg.randomness = dict(seed=None)
    with pytest.raises(ConfigError, match='^randomness.seed: is not set'):
        Sweep(cfg, ['dense', 'none'])
    Sweep(cfg, seeds=[1])
    cfg.chain.networks.resnet8.stage = dict(randomness=dict(seed=3))
    with pytest.raises(ConfigError, match='resnet8.stage.randomness.seed: is'):
        Sweep(cfg, seeds=[1])
    for network in cfg.chain.networks.values():
        network.ckpt_path = 'some.pth'
    with pytest.raises(ConfigError, match='there is nothing to train'):
        Sweep(cfg, seeds=[1])
