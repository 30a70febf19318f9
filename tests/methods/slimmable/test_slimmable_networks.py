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
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.torch_export import export_chain

WIDTHS = {'resnet14': '1', 'resnet14_w875': '0.875', 'resnet14_w75': '0.75'}


@pytest.fixture
def slim_cfg(tiny_cfg, root):
    """A function that gives the chain with a ResNet-14 of three widths."""

    def make(epochs=1, **kwargs):
        return tiny_cfg(
            epochs,
            root / 'configs/slimmable/joint_resnet20_to_resnet8_digits.py',
            **kwargs)

    return make


@pytest.fixture(scope='module')
def trained_dir(tmp_path_factory):
    """Where :func:`trained_cfg` has its chain, once for this file."""
    return tmp_path_factory.mktemp('slim')


@pytest.fixture
def trained_cfg(slim_cfg, trained_dir):
    """The chain, trained two epochs a stage."""
    cfg = slim_cfg(2)
    cfg.work_dir = str(trained_dir / 'work')
    if not os.path.exists(cfg.work_dir):
        ChainRunner(cfg).train()
    cfg.resume = True
    return cfg


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


def scalars_of(cfg, name):
    """The names of all that the stage has logged."""
    (path, ) = Path(cfg.work_dir, name).glob('*/vis_data/scalars.json')
    return {
        key
        for line in path.read_text().splitlines()
        for key in json.loads(line)
    }


def test_each_width_is_a_network_of_its_own(trained_cfg):
    ledger = ledger_of(trained_cfg)
    assert {entry['state'] for entry in ledger.values()} == {'done'}
    whole = weights(trained_cfg, 'resnet14')
    key = 'architecture.backbone.bn1'
    for name, count in (('resnet14_w875', 14), ('resnet14_w75', 12)):
        assert ledger[name]['guides'] == ['resnet20']
        assert ledger[name]['read'].keys() == {'resnet14'}
        one = weights(trained_cfg, name)
        assert torch.equal(one['architecture.backbone.conv1.weight'],
                           whole['architecture.backbone.conv1.weight'][:count])
        own = whole[f'{key}.candidate_bn.{count}.weight']
        assert torch.equal(one[f'{key}.weight'], own)
        # It was 1, and is not that of another width.
        assert not (own == 1).any()
        assert not torch.equal(own, whole[f'{key}.weight'][:count])
    params = [ledger[name]['params'] for name in WIDTHS]
    assert params == sorted(params, reverse=True) and len({*params}) == 3


def test_the_student_hears_each_width_and_the_store_remembers_it(trained_cfg):
    assert ledger_of(trained_cfg)['resnet8']['guides'] == ['resnet20', *WIDTHS]
    heard = scalars_of(trained_cfg, 'resnet8')
    assert {f'distill.kd.{name}' for name in WIDTHS} < heard
    stored = {
        name.rsplit('-', 1)[0]
        for name in os.listdir(f'{trained_cfg.work_dir}/logits')
        if name.endswith('.logits')
    }
    assert stored == {'resnet20', *WIDTHS}
    heard = scalars_of(trained_cfg, 'resnet14')
    assert {
        f'{term}{width}'
        for term in ('student.loss', 'distill.kd.resnet20')
        for width in ('', '@0.875', '@0.75')
    } < heard


def test_each_width_is_tested_and_exported(trained_cfg):
    runner = ChainRunner(trained_cfg)
    tested = runner.test()
    ledger = ledger_of(trained_cfg)
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    whole = built(trained_cfg, 'resnet14')
    data = whole.data_preprocessor(dict(inputs=list(images)))
    said = {}
    for name, width in WIDTHS.items():
        assert tested[name]['accuracy/top1'] == pytest.approx(
            ledger[name]['metric']['last'])
        (path, facts), = export_chain(trained_cfg, runner.chain, name).items()
        assert facts.params == ledger[name]['params']
        assert facts.macs == ledger[name]['macs']
        said[name] = torch.export.load(path).module()(images)
        # As the network of all widths says it at this one.
        whole.set_width(width)
        with torch.no_grad():
            wanted = whole(data['inputs'], mode='tensor')
        torch.testing.assert_close(said[name], wanted, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            alone = built(trained_cfg, name)(data['inputs'], mode='tensor')
        torch.testing.assert_close(alone, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(said['resnet14'], said['resnet14_w75'])


def test_the_plan_counts_what_a_step_costs(slim_cfg):
    runner = ChainRunner(slim_cfg())
    plan = runner.plan()
    assert re.search(r'resnet14_w75 +\| resnet20 +\|.*\| with resnet14 \|',
                     plan)
    facts = runner.facts
    assert facts['resnet14'].step_macs == sum(facts[name].macs
                                              for name in WIDTHS)


def test_the_chain_is_read_again_as_it_was_written(slim_cfg):
    chain = Chain.from_cfg(slim_cfg().chain)
    assert chain['resnet14_w75'].part_facts == dict(width=0.75)
    assert chain.needs('resnet14_w75') == ('resnet14', )
    assert Chain.from_cfg(chain.to_cfg()) == chain


@pytest.mark.slow
def test_resumed_it_ends_with_the_same_bits(slim_cfg):
    """In the stage of all widths, two iterations an epoch."""
    names = ('resnet14', 'resnet14_w75')
    whole = slim_cfg(2, work_dir='whole')
    torn = slim_cfg(2, work_dir='torn')
    for cfg in (whole, torn):
        cfg.chain.networks.resnet8 = cfg.chain.networks.resnet14_w875 = None
        cfg.chain.networks.resnet20.model.backbone.depth = 8
        cfg.chain.networks.resnet14.model.architecture.backbone.depth = 8
    ChainRunner(whole).train()
    torn.chain.networks.resnet14.stage = dict(
        custom_hooks=torn.custom_hooks + [
            dict(
                type='KillOnce',
                network='resnet14',
                iteration=3,
                once=f'{torn.work_dir}.once')
        ])
    with pytest.raises(KeyboardInterrupt):
        ChainRunner(torn).train()
    torn.resume = True
    ChainRunner(torn).train()
    for name in names:
        one, other = weights(whole, name), weights(torn, name)
        assert one.keys() == other.keys()
        assert all(torch.equal(data, other[key]) for key, data in one.items())


@pytest.mark.slow
def test_a_width_that_is_missing_is_taken_again(trained_cfg, tmp_path):
    cfg = trained_cfg
    shutil.copytree(cfg.work_dir, tmp_path / 'copy')
    cfg.work_dir = str(tmp_path / 'copy')
    cfg.chain.networks.resnet8.stage = dict(train_cfg=dict(max_epochs=1))
    shutil.rmtree(f'{cfg.work_dir}/resnet8')
    path = f'{cfg.work_dir}/resnet14_w75/resnet14_w75.pth'
    before = weights(cfg, 'resnet14_w75')
    os.remove(path)
    ChainRunner(cfg).train()
    after = weights(cfg, 'resnet14_w75')
    assert all(torch.equal(data, after[key]) for key, data in before.items())

    # Another width is not taken for it.
    cfg.chain.networks.resnet14_w75.width = 0.875
    with pytest.raises(
            ConfigError, match='holds the width 0.75 of its network, not 0.8'):
        ChainRunner(cfg).train()


def test_widths_are_taken_of_a_given_network(trained_cfg, slim_cfg):
    cfg = slim_cfg()
    networks = cfg.chain.networks
    networks.resnet20 = networks.resnet8 = None
    networks.resnet14.ckpt_path = (
        f'{trained_cfg.work_dir}/resnet14/resnet14.pth')
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet14']['state'] == 'given'
    assert ledger['resnet14_w75']['state'] == 'done'
    wanted, found = (
        weights(one, 'resnet14_w75') for one in (trained_cfg, cfg))
    assert all(torch.equal(data, found[key]) for key, data in wanted.items())


def change(cfg, **networks):
    for name, entry in networks.items():
        cfg.chain.networks[name] = entry


@pytest.mark.parametrize('entry, message', [
    (dict(width_of='resnet15', width=0.75),
     "resnet14_w75.width_of: 'resnet15' is no network before \"resnet14_w75\""
     '; possible: resnet20, resnet14, resnet14_w875'),
    (dict(width_of='resnet20', width=0.75),
     'resnet14_w75.width_of: "resnet20" has one width; that of a type='),
    (dict(width_of='resnet14_w875',
          width=0.75), 'resnet14_w75.width_of: "resnet14_w875" has one width'),
    (dict(width_of='resnet14', width=0.3),
     'resnet14_w75.width: 0.3 is no narrower width of "resnet14", which has '
     '0.75, 0.875 (1 is "resnet14" itself)'),
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
    change(cfg, resnet14_w875=None, resnet14_w75=None, resnet8=None)
    cfg.chain.networks.resnet14.stage = {key: value}
    with pytest.raises(ConfigError, match='^' + re.escape(message)):
        ChainRunner(cfg).train()


def test_a_width_has_the_guides_of_its_network(slim_cfg):
    cfg = slim_cfg()
    cfg.chain.guidance = dict(resnet14_w75=['resnet20'])
    with pytest.raises(
            ConfigError, match='chain.guidance.resnet14_w75: is trained with'):
        ChainRunner(cfg).train()


def test_no_network_begins_from_one_of_several_widths(slim_cfg):
    cfg = slim_cfg()
    cfg.chain.networks.resnet8.init_from = 'resnet14_w75'
    with pytest.raises(
            ConfigError, match='resnet8.init_from: "resnet14_w75" is pruned,'):
        ChainRunner(cfg).train()
