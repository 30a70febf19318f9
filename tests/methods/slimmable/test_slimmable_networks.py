# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are trained at several widths at once."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner

WIDTHS = {'resnet14': '1', 'resnet14_w75': '0.75'}
pytestmark = pytest.mark.xdist_group('contract_slimmable')


@pytest.fixture
def slim_cfg(trial_cfg):
    """A function that gives a ResNet-8 of two widths, and one after it."""
    return lambda: trial_cfg('slimmable')


@pytest.fixture
def trained_cfg(tried):
    """The chain, trained two epochs a stage."""
    return tried('slimmable').cfg


def weights(cfg, name):
    return torch.load(
        f'{cfg.work_dir}/{name}/{name}.pth', weights_only=True)['state_dict']


def built(cfg, name):
    """The trained network as its file and config make it."""
    alone = Config.fromfile(f'{cfg.work_dir}/{name}/{name}.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(alone.model)
    model.load_state_dict(weights(cfg, name))
    return model.eval()


def ledger_of(cfg):
    return json.loads(Path(cfg.work_dir, 'chain.json').read_text())['stages']


def logged(cfg, name):
    """The names of all that the stage has logged."""
    (path, ) = Path(cfg.work_dir, name).glob('2*/*.log')
    return set(re.findall(r'  (\S+): ', path.read_text()))


def test_each_width_is_a_network_of_its_own(trained_cfg):
    ledger = ledger_of(trained_cfg)
    assert {ledger[name]['state'] for name in WIDTHS} == {'done'}
    parent = weights(trained_cfg, 'resnet14')
    key = 'architecture.backbone.bn1'
    for name, count in (('resnet14_w75', 12), ):
        assert ledger[name]['guides'] == ['resnet20']
        assert ledger[name]['read'].keys() == {'resnet14'}
        one = weights(trained_cfg, name)
        assert torch.equal(
            one['architecture.backbone.conv1.weight'],
            parent['architecture.backbone.conv1.weight'][:count])
        own = parent[f'{key}.candidate_bn.{count}.weight']
        assert torch.equal(one[f'{key}.weight'], own)
        # It was 1, and is not that of another width.
        assert not (own == 1).any()
        assert not torch.equal(own, parent[f'{key}.weight'][:count])
    params = [ledger[name]['params'] for name in WIDTHS]
    assert params == sorted(params, reverse=True) and len({*params}) == 2


def test_the_student_is_distilled_from_each_width_and_the_store_caches_it(
        trained_cfg):
    assert ledger_of(trained_cfg)['last']['guides'] == ['resnet20', *WIDTHS]
    terms = logged(trained_cfg, 'last')
    assert {f'distill.kd.{name}' for name in WIDTHS} < terms
    stored = {
        name.rsplit('-', 1)[0]
        for name in os.listdir(f'{trained_cfg.work_dir}/logits')
    }
    assert stored == {'resnet20', *WIDTHS}
    terms = logged(trained_cfg, 'resnet14')
    assert {
        f'{term}{width}'
        for term in ('student.loss', 'distill.kd.resnet20')
        for width in ('', '@0.75')
    } < terms


def test_each_width_is_tested_and_exported(trained_cfg):
    runner = ChainRunner(trained_cfg)
    tested = runner.test()
    ledger = ledger_of(trained_cfg)
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    parent = built(trained_cfg, 'resnet14')
    data = parent.data_preprocessor(dict(inputs=list(images)))
    logits = {}
    for name, width in WIDTHS.items():
        assert tested[name]['accuracy/top1'] == pytest.approx(
            ledger[name]['metric']['last'])
        (path, facts), = export_chain(trained_cfg, runner.chain, name).items()
        assert facts.params == ledger[name]['params']
        assert facts.macs == ledger[name]['macs']
        logits[name] = torch.export.load(path).module()(images)
        # As the network of all widths at this one.
        parent.set_width(width)
        with torch.no_grad():
            wanted = parent(data['inputs'], mode='tensor')
        torch.testing.assert_close(logits[name], wanted, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            alone = built(trained_cfg, name)(data['inputs'], mode='tensor')
        torch.testing.assert_close(alone, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits['resnet14'], logits['resnet14_w75'])


def test_the_plan_counts_what_a_step_costs(slim_cfg):
    runner = ChainRunner(slim_cfg())
    plan = runner.plan()
    assert re.search(r'resnet14_w75 +\| resnet20 +\|.*\| with resnet14 \|',
                     plan)
    facts = runner.facts
    assert facts['resnet14'].step_macs == sum(facts[name].macs
                                              for name in WIDTHS)


def test_a_width_that_is_missing_is_taken_again(trained_cfg, tmp_path):
    cfg = Config(trained_cfg.to_dict())
    shutil.copytree(cfg.work_dir, tmp_path / 'copy')
    cfg.work_dir = str(tmp_path / 'copy')
    shutil.rmtree(f'{cfg.work_dir}/last')
    path = f'{cfg.work_dir}/resnet14_w75/resnet14_w75.pth'
    before = weights(cfg, 'resnet14_w75')
    os.remove(path)
    ChainRunner(cfg).train()
    after = weights(cfg, 'resnet14_w75')
    assert all(torch.equal(data, after[key]) for key, data in before.items())

    # Another width is not taken for it.
    ledger = Path(cfg.work_dir, 'chain.json')
    ledger.write_text(ledger.read_text().replace('"width": 0.75',
                                                 '"width": 0.875'))
    with pytest.raises(
            ConfigError, match='trained with width=0.875, not 0.75'):
        ChainRunner(cfg).train()


def test_widths_are_taken_of_a_given_network(trained_cfg, slim_cfg):
    cfg = slim_cfg()
    networks = cfg.chain.networks
    networks.resnet20 = networks.last = None
    given = torch.load(
        f'{trained_cfg.work_dir}/resnet14/resnet14.pth', weights_only=True)
    split = given['meta']['split'] = dict(holdout=8, seed=0, of=64)
    networks.resnet14.ckpt_path = f'{trained_cfg.work_dir}_given.pth'
    torch.save(given, networks.resnet14.ckpt_path)
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet14']['state'] == 'given'
    assert ledger['resnet14_w75']['state'] == 'done'
    wanted, found = (
        weights(one, 'resnet14_w75') for one in (trained_cfg, cfg))
    assert all(torch.equal(data, found[key]) for key, data in wanted.items())
    # Nothing else knows which images it has not seen.
    part = torch.load(
        f'{cfg.work_dir}/resnet14_w75/resnet14_w75.pth', weights_only=True)
    assert part['meta']['split'] == split


def change(cfg, **networks):
    for name, entry in networks.items():
        cfg.chain.networks[name] = entry


@pytest.mark.parametrize('entry, message', [
    (dict(width_of='resnet15', width=0.75),
     "resnet14_w75.width_of: 'resnet15' is no network before \"resnet14_w75\""
     '; possible: resnet20, resnet14'),
    (dict(width_of='resnet20', width=0.75),
     'resnet14_w75.width_of: "resnet20" has one width; that of a type='),
    (dict(width_of='resnet14', width=0.3),
     'resnet14_w75.width: 0.3 is no narrower width of "resnet14", which has '
     '0.75 (1 is "resnet14" itself)'),
    (dict(width_of='resnet14',
          width=1.0), 'resnet14_w75.width: 1.0 is no narrower width'),
    (dict(width_of='resnet14'), 'resnet14_w75.width: None is no narrower'),
    (dict(width_of='resnet14', width=0.75, stage=dict()),
     'resnet14_w75.stage: is unknown; chain.networks.resnet14_w75 takes '
     'width_of, width'),
])
def test_wrong_entries_of_a_width(slim_cfg, entry, message):
    cfg = slim_cfg()
    cfg.chain.networks.resnet14_w75 = entry
    with pytest.raises(
            ConfigError, match='chain.networks.' + re.escape(message)) as info:
        ChainRunner(cfg).train()
    assert '\n' not in str(info.value)
    assert not os.path.exists(cfg.work_dir)


@pytest.mark.parametrize('changed, message', [
    (dict(widths=[0.75, 1.2]),
     'chain.networks.resnet14.model.widths: 1.2 is no share of the channels'),
    (dict(widths=[0.75, 0.875]),
     'chain.networks.resnet14.model.widths: [0.75, 0.875] has no 1.0'),
    (dict(type='mmrazor.SlimmableNetwork'),
     'chain.networks.resnet14.model.type: SlimmableNetwork trains its widths'),
])
def test_wrong_widths(slim_cfg, changed, message):
    cfg = slim_cfg()
    cfg.chain.networks.resnet14.model.update(changed)
    with pytest.raises(ConfigError, match='^' + re.escape(message)):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


@pytest.mark.parametrize('key, value, message', [
    ('activation_checkpointing', ['backbone.layer1'],
     'activation_checkpointing: chain.networks.resnet14 takes all its widths'),
    ('sync_bn', 'torch', 'sync_bn: chain.networks.resnet14.model: would '),
    ('custom_hooks', [dict(type='mmrazor.FastNetworkHook', compile=True)],
     'custom_hooks: FastNetworkHook.compile: chain.networks.resnet14 takes'),
])
def test_what_does_not_go_with_it(slim_cfg, key, value, message):
    cfg = slim_cfg()
    change(cfg, resnet14_w75=None, last=None)
    cfg.chain.networks.resnet14.stage = {key: value}
    with pytest.raises(ConfigError, match='^' + re.escape(message)):
        ChainRunner(cfg).train()


def test_a_width_has_the_teachers_of_its_network(slim_cfg):
    cfg = slim_cfg()
    cfg.chain.guidance = dict(resnet14_w75=['resnet20'])
    with pytest.raises(
            ConfigError, match='chain.guidance.resnet14_w75: is trained with'):
        ChainRunner(cfg).train()


def test_no_network_begins_from_one_of_several_widths(slim_cfg):
    cfg = slim_cfg()
    cfg.chain.networks.last.init_from = 'resnet14_w75'
    with pytest.raises(
            ConfigError, match='last.init_from: "resnet14_w75" is trained by'):
        ChainRunner(cfg).train()
