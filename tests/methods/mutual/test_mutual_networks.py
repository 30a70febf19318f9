# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are trained together and teach each other."""
import json
import os
import re
from pathlib import Path

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner

TOGETHER = ('resnet14', 'resnet8')
pytestmark = pytest.mark.xdist_group('contract_mutual')


@pytest.fixture
def mutual_cfg(trial_cfg):
    """A function that gives a teacher, two networks together, and one more."""
    return lambda: trial_cfg('mutual')


@pytest.fixture
def trained_cfg(tried):
    """The chain, trained two epochs a stage."""
    return tried('mutual').cfg


def ledger_of(cfg):
    return json.loads(Path(cfg.work_dir, 'chain.json').read_text())['stages']


def logged(cfg, name):
    """The names of all that the stage has logged."""
    (path, ) = Path(cfg.work_dir, name).glob('2*/*.log')
    return set(re.findall(r'  (\S+): ', path.read_text()))


def test_beginning_one_of_them_with_other_weights_is_refused(mutual_cfg):
    cfg = mutual_cfg()
    cfg.chain.networks.resnet14.init_from = 'resnet20'
    with pytest.raises(
            ConfigError,
            match='^chain.networks.resnet14.init_from: would begin one of'):
        ChainRunner(cfg)


def test_each_is_a_network_of_its_own(trained_cfg, weights_of):
    ledger = ledger_of(trained_cfg)
    assert ledger['resnet8']['state'] == 'done'
    parent = weights_of(trained_cfg, 'resnet14')
    one = weights_of(trained_cfg, 'resnet8')
    assert all(
        torch.equal(data, parent[f'peers.resnet8.{key}'])
        for key, data in one.items())
    assert not any('peers' in key or 'architecture' in key for key in one)
    assert ledger['resnet8']['guides'] == ['resnet20']
    assert ledger['resnet8']['read'].keys() == {'resnet14'}


def test_they_teach_each_other_and_later_networks(trained_cfg):
    terms = ('student.loss', 'distill.kd.resnet20', 'mutual.loss')
    assert {f'{term}{name}'
            for term in terms
            for name in ('', '@resnet8')} < logged(trained_cfg, 'resnet14')
    assert ledger_of(trained_cfg)['last']['guides'] == ['resnet20', *TOGETHER]
    assert {f'distill.kd.{name}'
            for name in TOGETHER} < logged(trained_cfg, 'last')
    stored = {
        name.rsplit('-', 1)[0]
        for name in os.listdir(f'{trained_cfg.work_dir}/logits')
    }
    assert stored == {'resnet20', *TOGETHER}


def test_each_is_tested_and_exported_alone(trained_cfg, built_from_file):
    runner = ChainRunner(trained_cfg)
    tested = runner.test()
    ledger = ledger_of(trained_cfg)
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    for name in TOGETHER:
        assert tested[name]['accuracy/top1'] == pytest.approx(
            ledger[name]['metric']['last'])
        (path, facts), = export_chain(trained_cfg, runner.chain, name).items()
        assert facts.params == ledger[name]['params']
        assert facts.macs == ledger[name]['macs']
        model = built_from_file(trained_cfg, name)
        data = model.data_preprocessor(dict(inputs=list(images)))
        with torch.no_grad():
            wanted = model(data['inputs'], mode='tensor')
        torch.testing.assert_close(
            torch.export.load(path).module()(images),
            wanted,
            rtol=1e-4,
            atol=1e-5)


def test_the_plan_counts_what_a_step_costs(mutual_cfg):
    runner = ChainRunner(mutual_cfg())
    assert re.search(r'resnet8 +\| resnet20 +\|.*\| with resnet14 \|',
                     runner.plan())
    facts = runner.facts
    assert facts['resnet14'].step_macs == sum(facts[name].macs
                                              for name in TOGETHER)


@pytest.mark.parametrize('entry, message', [
    (dict(member_of='resnet15'),
     "member_of: 'resnet15' is no network before \"resnet8\"; possible: "
     'resnet20, resnet14'),
    (dict(member_of='resnet20'),
     'member_of: "resnet20" is trained by itself; a type='),
    (dict(member_of='resnet14',
          stage=dict()), 'stage: is unknown; chain.networks.resnet8 takes'),
])
def test_wrong_entries_of_a_member(mutual_cfg, entry, message):
    cfg = mutual_cfg()
    cfg.chain.networks.resnet8 = entry
    with pytest.raises(
            ConfigError,
            match='^chain.networks.resnet8.' + re.escape(message)) as info:
        ChainRunner(cfg)
    assert '\n' not in str(info.value)


def test_a_member_is_one_of_the_peers_and_has_their_teachers(mutual_cfg):
    cfg = mutual_cfg()
    cfg.chain.networks.resnet9 = dict(member_of='resnet14')
    with pytest.raises(
            ConfigError,
            match='resnet9.member_of: "resnet9" is none of the peers of '
            '"resnet14", which are resnet8'):
        ChainRunner(cfg)
    cfg = mutual_cfg()
    cfg.chain.guidance = dict(resnet8=['resnet20'])
    with pytest.raises(
            ConfigError, match='chain.guidance.resnet8: is trained with'):
        ChainRunner(cfg)


def in_peer(cfg):
    return cfg.chain.networks.resnet14.model.peers.resnet8


def learned_part(cfg):
    cfg.chain.logit_store = None
    cfg.model.distiller.connectors = dict(
        learned=dict(
            type='mmrazor.TorchNNConnector',
            module_name='Linear',
            module_args=dict(in_features=10, out_features=10)))
    cfg.model.distiller.loss_forward_mappings.loss_kd.preds_S.update(
        connector='learned')


@pytest.mark.parametrize('change, message', [
    (lambda cfg: cfg.chain.networks.resnet14.model.update(peers=[]),
     'chain.networks.resnet14.model.peers: [] should be a dict'),
    (lambda cfg: cfg.chain.networks.resnet14.model.update(source='head.fx'),
     'chain.networks.resnet14.model: cannot be built (model.source: "head'),
    (learned_part, 'model.distiller.connectors.learned: learns, and the '
     'student is several networks'),
])
def test_what_does_not_go_with_it(mutual_cfg, refused, change, message):
    cfg = mutual_cfg()
    if 'peers' in message:
        cfg.chain.networks.resnet8 = None
    change(cfg)
    refused(cfg, '^' + re.escape(message))


def test_a_peer_without_an_entry_has_the_same_classes(mutual_cfg):
    cfg = mutual_cfg()
    in_peer(cfg).head.num_classes = 9
    cfg.chain.networks.resnet8 = cfg.chain.networks.last = None
    with pytest.raises(
            ConfigError,
            match='resnet14.model: trains networks of .9. classes'):
        ChainRunner(cfg).train()
