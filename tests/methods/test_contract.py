# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What every method keeps, in a tiny real chain of its own.

A network that it trains is distilled from trained teachers, killed and resumed
to the same bits, tested, a teacher itself, exported, in the report, and
trained by two processes with AMP. A new method is a new row in ``trials.py``.
"""
import os
from pathlib import Path

import pytest
import torch
from trials import TRIALS

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.method import METHODS, methods_of
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
from mmdgkd.report.records import read_runs
from mmdgkd.report.settings import add_settings

# Those in which most differs from an ordinary network; the others are slow
# tests, which CI runs too.
FAST = ('dgkd', 'l1', 'low_bit', 'mutual', 'slimmable', 'toy')
KEYS = [
    pytest.param(
        key,
        marks=[pytest.mark.xdist_group(f'contract_{key}')] +
        [pytest.mark.slow] * (key not in FAST)) for key in TRIALS
]
each_method = pytest.mark.parametrize('key', KEYS)


def weights(cfg, name):
    """The state dict of a trained network."""
    return torch.load(
        f'{cfg.work_dir}/{name}/{name}.pth', weights_only=True)['state_dict']


def state(cfg, name):
    """All tensors of a network's file and of its last checkpoint, by path."""
    found = {}

    def walk(value, path):
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f'{path}.{key}')
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                walk(item, f'{path}.{i}')
        elif torch.is_tensor(value):
            found[path] = value

    path = latest_checkpoint(f'{cfg.work_dir}/{name}')
    checkpoint = torch.load(path, weights_only=False)
    walk(weights(cfg, name), 'file')
    walk(checkpoint['state_dict'], 'state_dict')
    walk(checkpoint['optimizer'], 'optimizer')
    return found


def test_every_method_has_a_trial():
    assert set(METHODS) <= {trial.method for trial in TRIALS.values()}
    configs = Path(__file__).parents[2] / 'configs'
    tried = {trial.config.split('/')[0] for trial in TRIALS.values()}
    cards = {path.parent.name for path in configs.glob('*/metafile.yml')}
    # Guidance and losses on the logits of ordinary networks alone.
    assert cards - tried == {'dist', 'dkd', 'kd', 'takd'}


@each_method
def test_it_belongs_to_its_method(key, trial_cfg):
    trial = TRIALS[key]
    if not trial.method:
        pytest.skip('a loss alone')
    model = trial_cfg(key).chain.networks[trial.name].model
    found = [type(method).__name__ for method in methods_of(model)]
    # The others are losses and hooks.
    assert found in ([], [trial.method])
    assert bool(found) == bool(METHODS[trial.method].algorithms)


@each_method
def test_it_is_trained_with_teachers(key, tried):
    tried = tried(key)
    entry = tried.ledger[tried.name]
    assert entry['state'] == 'done'
    assert set(entry['guides']) == set(TRIALS[key].teachers)
    (log, ) = Path(tried.cfg.work_dir, tried.name).glob('2*/*.log')
    assert ' distill.' in log.read_text()
    # Its file has its weights alone, which its config loads strictly.
    assert not any('teachers' in name
                   for name in weights(tried.cfg, tried.name))


@each_method
def test_killed_and_resumed_it_ends_with_the_same_bits(key, tried, trial_cfg):
    """Weights, connectors, generators, optimizers, masks: all there is."""
    whole, torn, trial = tried(key), trial_cfg(key), TRIALS[key]
    entry = torn.chain.networks[trial.name]
    stage = entry.get('stage') or {}
    hooks = [
        dict(
            type='KillOnce',
            network=trial.name,
            iteration=iteration,
            once=f'{torn.work_dir}.{iteration}') for iteration in trial.kills
    ]
    entry.stage = dict(
        stage,
        custom_hooks=[*stage.get('custom_hooks', torn.custom_hooks), *hooks])
    for hook in hooks:
        with pytest.raises(KeyboardInterrupt):
            ChainRunner(torn, only=trial.name).train()
        assert os.path.exists(hook['once'])
        torn.resume = True
    ChainRunner(torn, only=trial.name).train()
    one, other = (state(cfg, trial.name) for cfg in (whole.cfg, torn))
    assert one.keys() == other.keys()
    for name, data in one.items():
        assert torch.equal(data, other[name]), name


@each_method
def test_it_is_tested_as_it_was_validated(key, tried):
    tried = tried(key)
    found = ChainRunner(tried.cfg).test(tried.name)[tried.name]
    assert found['accuracy/top1'] == pytest.approx(
        tried.ledger[tried.name]['metric']['last'])


@each_method
def test_it_is_a_teacher(key, tried):
    tried = tried(key)
    assert tried.name in tried.ledger['last']['guides']
    if tried.cfg.chain.get('logit_store'):
        files = os.listdir(f'{tried.cfg.work_dir}/logits')
        assert any(name.startswith(f'{tried.name}-') for name in files)


@each_method
def test_it_is_exported_with_its_own_logits(key, tried, built_from_file):
    tried = tried(key)
    chain = ChainRunner(tried.cfg).chain
    ((path, facts), ) = export_chain(tried.cfg, chain, tried.name).items()
    entry = tried.ledger[tried.name]
    assert facts.macs == entry['macs']
    model = built_from_file(tried.cfg, tried.name)
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
        wanted = model(inputs, mode='tensor')
    off = (torch.export.load(path).module()(images) - wanted).abs().max()
    assert off <= TRIALS[key].logits_off * wanted.abs().max()
    assert bool(facts.extras) == (TRIALS[key].method in ('LowBit', 'Toy'))


@each_method
def test_it_is_planned_and_reported(key, tried):
    tried = tried(key)
    plan = ChainRunner(tried.cfg).plan()
    assert f'{tried.ledger[tried.name]["params"]:,}' in plan
    (run, ) = read_runs([tried.cfg.work_dir])
    add_settings(run)
    assert not run.note
    stage = run.stages[tried.name]
    assert stage.objective and stage.method
    own = [
        method.objective(
            Chain.from_cfg(tried.cfg.chain)[tried.name].trainer
            or tried.cfg.chain.networks[tried.name].model)
        for method in METHODS.values()
    ]
    for words in filter(None, own):
        assert words[0] in stage.method and words[1] in stage.objective


@each_method
def test_its_chain_is_read_as_it_was_written(key, trial_cfg):
    chain = Chain.from_cfg(trial_cfg(key).chain)
    assert Chain.from_cfg(chain.to_cfg()) == chain


@pytest.mark.slow
@each_method
def test_with_amp_by_two_processes_if_it_may(key, trial_cfg, states_of_ranks,
                                             tmp_path):
    """All of the state is the same on both: masks, ranges, connectors."""
    trial = TRIALS[key]
    cfg = trial_cfg(key)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.chain.networks.last = None
    if isinstance(cfg.chain.guidance, dict):
        cfg.chain.guidance.pop('last')
    if trial.ranks == 1:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
        ledger = ChainRunner(cfg).train()
        assert ledger[trial.name]['state'] == 'done'
        return
    one, other = states_of_ranks(cfg, trial.name)
    for name, data in one.items():
        if torch.is_tensor(data):
            assert torch.equal(data, other[name]), name
    prefix = 'architecture.' * (1 + (key == 'byot'))
    for name, data in weights(cfg, trial.name).items():
        # Observers are off in the file, and on again in the next epoch.
        if not name.endswith('observer_enabled'):
            assert torch.equal(data, one[prefix + name]), name


def test_a_mistake_of_the_toy_is_one_line(trial_cfg):
    cfg = trial_cfg('toy')
    cfg.chain.networks.resnet8.model.start = -1
    with pytest.raises(
            ConfigError,
            match='^chain.networks.resnet8.model.start: -1 must be above 0$'):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


def test_core_and_chain_do_not_know_the_toy(root):
    for path in (root / 'mmdgkd').rglob('*.py'):
        assert 'toy' not in path.read_text().lower()
