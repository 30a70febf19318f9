# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What every method keeps, in a tiny real chain of its own.

A network that it trains is distilled from trained teachers, killed and resumed
to the same bits, tested, a teacher itself, exported, in the report, and
trained by two processes with AMP. A new method is a new row in ``trials.py``.
"""
import os
import re
from pathlib import Path

import pytest
import torch
from packaging.version import Version
from trials import TRIALS

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.export.formats import FORMATS
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.method import METHODS, Method, methods_of, register_method
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
from mmdgkd.report.records import read_runs
from mmdgkd.report.settings import add_settings

# Those in which most differs from an ordinary network; the others are slow
# tests, which CI runs too.
FAST = ('dgkd', 'l1', 'low_bit', 'mutual', 'slimmable', 'toy')


def in_group(key, *others, marks=()):
    """The parameters of a test that runs where the trial is trained."""
    group = pytest.mark.xdist_group(f'contract_{key}')
    return pytest.param(key, *others, marks=[group, *marks])


KEYS = [
    in_group(key, marks=[pytest.mark.slow] * (key not in FAST))
    for key in TRIALS
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
    # The conversion to ONNX is checked by it, too; of the others by hand.
    formats = ('pt2', )
    if key in FAST and Version(torch.__version__) >= Version(
            FORMATS['onnx'].since):
        formats = ('pt2', 'onnx')
    found = export_chain(tried.cfg, chain, tried.name, formats=formats)
    assert [path.split('.')[-1] for path in found] == [*formats]
    path, facts = next(iter(found.items()))
    entry = tried.ledger[tried.name]
    assert facts.macs == entry['macs']
    model = built_from_file(tried.cfg, tried.name)
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
        wanted = model(inputs, mode='tensor')
    off = (torch.export.load(path).module()(images) - wanted).abs().max()
    assert off <= TRIALS[key].logits_off * wanted.abs().max()
    assert bool(facts.extras) == (
        TRIALS[key].method in ('LowBit', 'OneShot', 'Toy'))


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


def alone(cfg):
    """Leave out the network after the one that is tried."""
    cfg.chain.networks.last = None
    if isinstance(cfg.chain.guidance, dict):
        cfg.chain.guidance.pop('last')
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize(
    'key, amp',
    [in_group(key, True) for key in TRIALS if TRIALS[key].ranks == 2] +
    # Without AMP only one with a teacher dropped and one of several networks.
    [in_group(key, False) for key in ('dgkd', 'mutual')])
def test_two_processes_end_with_the_same_state(key, amp, trial_cfg,
                                               states_of_ranks, tmp_path):
    """All of it is the same on both: masks, ranges, connectors."""
    cfg = alone(trial_cfg(key))
    cfg.work_dir = str(tmp_path / 'work')
    name = TRIALS[key].name
    one, other = states_of_ranks(cfg, name, amp)
    for path, data in one.items():
        if torch.is_tensor(data):
            assert torch.equal(data, other[path]), path
    prefix = 'architecture.' * (1 + (key == 'byot'))
    for path, data in weights(cfg, name).items():
        # Observers are off in the file, and on again in the next epoch.
        if not path.endswith('observer_enabled'):
            assert torch.equal(data, one[prefix + path]), path


@pytest.mark.slow
@pytest.mark.parametrize(
    'key', [in_group(key) for key in TRIALS if TRIALS[key].ranks == 1])
def test_those_of_one_process_train_with_amp(key, tried, trial_cfg):
    cfg = alone(trial_cfg(key))
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    ChainRunner(cfg).train()
    mixed, exact = (
        weights(each, TRIALS[key].name) for each in (cfg, tried(key).cfg))
    for path, data in mixed.items():
        assert data.isfinite().all(), path
    # It was bfloat16, and not far off.
    path = 'architecture.backbone.conv1.weight'
    assert not torch.equal(mixed[path], exact[path])
    torch.testing.assert_close(mixed[path], exact[path], rtol=0, atol=.1)


def test_a_name_is_of_one_method():
    with pytest.raises(KeyError, match='Toy is the name of a method of toy'):
        register_method(type('Toy', (Method, ), {}))


def test_a_mistake_of_the_toy_is_one_line(trial_cfg):
    cfg = trial_cfg('toy')
    cfg.chain.networks.resnet8.model.start = -1
    with pytest.raises(
            ConfigError,
            match='^chain.networks.resnet8.model.start: -1 must be above 0$'):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


def test_core_and_chain_name_no_method(root):
    """No class of a method's folder, and none that it brings to a chain."""
    names = {
        kind.__name__
        for method in METHODS.values()
        for kind in method.algorithms
    }
    for path in (root / 'mmdgkd/methods').glob('*/*.py'):
        names.update(re.findall(r'^class ([A-Z]\w+)', path.read_text(), re.M))
    # As an example of what a network's model may be.
    names -= {'ItePruneAlgorithm'}
    known = re.compile(rf'\b({"|".join(sorted(names))})\b')
    for folder in ('chain', 'models', 'engine', 'logit_store', 'datasets',
                   'report', 'utils', 'fileio'):
        for path in (root / 'mmdgkd' / folder).rglob('*.py'):
            assert not known.findall(path.read_text()), path
