# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Snapshots of a network's training as networks of the chain."""
import json
import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.training_settings import fingerprint
from mmdgkd.methods.snapshots.snapshot_hook import SnapshotHook

CONFIG = (
    Path(__file__).resolve().parents[3] /
    'configs/snapshots/resnet20_to_resnet8_digits.py')


@pytest.fixture
def snapshots_cfg(tiny_cfg):
    """A function that gives a ResNet-8 with snapshots and one after it.

    Two epochs of two iterations, and only the last checkpoint is kept.
    """

    def make(work_dir='work', snapshots=(0.5, ), epochs=2, **entry):
        cfg = tiny_cfg(epochs, config=CONFIG, work_dir=work_dir)
        cfg.randomness = dict(seed=0)
        networks = cfg.chain.networks
        networks.resnet20.model.backbone.depth = 8
        networks.resnet20.update(snapshots=[*snapshots], **entry)
        cfg.default_hooks.checkpoint.max_keep_ckpts = 1
        return cfg

    return make


def alone(cfg):
    """Leave out the networks after the snapshots."""
    cfg.chain.networks.resnet8 = None
    return cfg


def of_checkpoint(cfg, step, stage='resnet20'):
    """The weights of a network in a checkpoint of its stage."""
    state = torch.load(
        f'{cfg.work_dir}/{stage}/{step}.pth', weights_only=False)['state_dict']
    return {
        key.removeprefix('architecture.'): data
        for key, data in state.items()
    }


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(data, other[key]) for key, data in one.items())


def ledger_of(cfg):
    return json.loads(Path(cfg.work_dir, 'chain.json').read_text())['stages']


def test_a_snapshot_is_a_network_with_the_weights_of_that_epoch(
        snapshots_cfg, weights_of, built_from_file):
    cfg = snapshots_cfg(snapshots=[0.25, 0.5, 1.0], epochs=4)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    runner = ChainRunner(cfg)
    assert re.search(r'resnet20_25 +\|.*\| with resnet20 \|', runner.plan())
    runner.train()
    # The best first.
    names = ['resnet20', 'resnet20_50', 'resnet20_25']
    ledger = ledger_of(cfg)
    assert list(ledger) == [*names, 'resnet8']
    assert ledger['resnet8']['guides'] == names
    history = {
        epoch: value
        for epoch, value in ledger['resnet20']['metric']['history']
    }
    for epoch, name in ((1, 'resnet20_25'), (2, 'resnet20_50')):
        own = weights_of(cfg, name)
        assert same(own, of_checkpoint(cfg, f'epoch_{epoch}'))
        assert not same(own, weights_of(cfg, 'resnet20'))
        entry = ledger[name]
        assert entry['state'] == 'done' and entry['at'] == epoch / 4
        assert entry['metric']['history'] == [[epoch, history[epoch]]]
        built_from_file(cfg, name)
    stored = os.listdir(f'{cfg.work_dir}/logits')
    assert all(
        any(file.startswith(f'{name}-') for file in stored) for name in names)
    # The config as it was run is of the same chain.
    again = Config.fromfile(f'{cfg.work_dir}/config.py')
    assert Chain.from_cfg(again.chain) == runner.chain
    again.resume = True
    assert ChainRunner(again).work.todo(True) == []


def test_asking_for_snapshots_changes_no_bit_of_the_parent(
        snapshots_cfg, weights_of):
    one, other = (alone(snapshots_cfg(name, snapshots))
                  for name, snapshots in (('with', [0.5]), ('without', [])))
    for cfg in (one, other):
        ChainRunner(cfg).train()
    assert same(weights_of(one, 'resnet20'), weights_of(other, 'resnet20'))
    stages = [ChainRunner(cfg).work.stage_config('resnet20')
              for cfg in (one, other)]  # yapf: disable
    kinds = [[hook.type for hook in stage.custom_hooks] for stage in stages]
    assert kinds[0] == [*kinds[1], 'mmrazor.SnapshotHook']
    assert fingerprint(stages[0]) == fingerprint(stages[1])
    entries = [ledger_of(cfg)['resnet20'] for cfg in (one, other)]
    assert entries[0]['config_sha256'] == entries[1]['config_sha256']


@pytest.mark.parametrize('kill, by_epoch', [(1, True), (2, False), (3, True)])
def test_killed_before_and_after_it_has_the_same_bytes(snapshots_cfg, kill,
                                                       by_epoch):
    """In its epoch, right after it, and in the middle of the one after it."""
    files = []
    for name in ('whole', 'torn'):
        cfg = alone(snapshots_cfg(name))
        cfg.default_hooks.checkpoint.by_epoch = by_epoch
        if name == 'torn':
            cfg.custom_hooks.append(
                dict(
                    type='KillOnce',
                    network='resnet20',
                    iteration=kill,
                    once=f'{cfg.work_dir}.once'))
            with pytest.raises(KeyboardInterrupt):
                ChainRunner(cfg).train()
            cfg.resume = True
        ChainRunner(cfg).train()
        files.append([
            Path(cfg.work_dir, path).read_bytes()
            for path in ('resnet20/snapshot_epoch_1.pth',
                         'resnet20_50/resnet20_50.pth')
        ])
    assert files[0] == files[1]


class _Killed(Exception):
    pass


@pytest.mark.parametrize('when, by_epoch',
                         [('before', True), ('before', False),
                          ('after', True)])
def test_killed_beside_the_writing_it_is_written_by_the_resumed(
        snapshots_cfg, weights_of, monkeypatch, when, by_epoch):
    """There is no checkpoint yet from which a stage would skip it.

    That of the last iteration of an epoch comes before the end of the epoch.
    """
    cfg, write = alone(snapshots_cfg()), SnapshotHook._keep
    cfg.default_hooks.checkpoint.by_epoch = by_epoch

    def killed(self, runner, unit, step):
        if when == 'after':
            write(self, runner, unit, step)
        if step in self.steps:
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotHook, '_keep', killed)
        with pytest.raises(_Killed):
            ChainRunner(cfg).train()
    path = Path(cfg.work_dir, 'resnet20/snapshot_epoch_1.pth')
    assert path.exists() == (when == 'after')
    assert not Path(cfg.work_dir, 'resnet20/epoch_1.pth').exists()
    assert Path(cfg.work_dir, 'resnet20/iter_2.pth').exists() != by_epoch
    before = path.read_bytes() if path.exists() else None
    cfg.resume = True
    ChainRunner(cfg).train()
    assert before in (None, path.read_bytes())
    assert not same(
        weights_of(cfg, 'resnet20_50'), weights_of(cfg, 'resnet20'))


@pytest.mark.parametrize('use', ['ema', 'best'])
def test_its_weights_are_of_the_kind_of_its_network(snapshots_cfg, weights_of,
                                                    use):
    cfg = alone(snapshots_cfg(use=use))
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    ChainRunner(cfg).train()
    own = weights_of(cfg, 'resnet20_50')
    # Averages stand in place of the weights of a checkpoint.
    assert same(own, of_checkpoint(cfg, 'epoch_1'))
    checkpoint = torch.load(
        f'{cfg.work_dir}/resnet20/epoch_1.pth', weights_only=False)
    assert ('ema_state_dict' in checkpoint) == (use == 'ema')
    if use == 'ema':
        live = {
            key.removeprefix('module.'): data
            for key, data in checkpoint['ema_state_dict'].items()
            if key != 'steps'
        }
        assert not same(own, live)


def test_of_iterations_it_is_of_that_iteration(snapshots_cfg, weights_of):
    cfg = alone(snapshots_cfg(snapshots=[0.6]))
    cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=5)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint.update(
        by_epoch=False, interval=1, max_keep_ckpts=-1)
    ChainRunner(cfg).train()
    assert same(weights_of(cfg, 'resnet20_60'), of_checkpoint(cfg, 'iter_3'))
    assert ledger_of(cfg)['resnet20_60']['metric']['history'][0][0] == 3


def test_of_a_network_with_teachers(snapshots_cfg, weights_of):
    """It has their network's teachers, and none of their weights."""
    cfg = snapshots_cfg(snapshots=[])
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    # As a user names it.
    cfg.chain.networks.half_way = dict(snapshot_of='resnet8', at=0.5)
    cfg.chain.order = ['resnet20', 'resnet8', 'half_way']
    ledger = ChainRunner(cfg).train()
    assert ledger['half_way']['guides'] == ['resnet20']
    assert same(
        weights_of(cfg, 'half_way'), of_checkpoint(cfg, 'epoch_1', 'resnet8'))


def test_it_is_rehearsed_before_its_epoch(snapshots_cfg):
    cfg = snapshots_cfg(epochs=20)
    cfg.chain.preflight = dict(steps=1)
    assert 'rehearsal: 3 stages' in ChainRunner(cfg).plan()
    assert not os.path.exists(cfg.work_dir)


@pytest.fixture
def trained_cfg(snapshots_cfg):
    """The network and its snapshot, trained."""
    cfg = alone(snapshots_cfg())
    ChainRunner(cfg).train()
    cfg.resume = True
    return cfg


def test_one_that_is_missing_is_taken_again_or_one_line(trained_cfg, refused):
    path = Path(trained_cfg.work_dir, 'resnet20_50/resnet20_50.pth')
    before = path.read_bytes()
    path.unlink()
    ChainRunner(trained_cfg).train()
    assert path.read_bytes() == before
    # What it has taken is not needed any more, unless it is to be taken again.
    Path(trained_cfg.work_dir, 'resnet20/snapshot_epoch_1.pth').unlink()
    assert ChainRunner(trained_cfg).work.todo(True) == []
    path.unlink()
    message = ('snapshot_epoch_1.pth.: is missing, but "resnet20" is trained: '
               '.* of "resnet20_50"; put the file back, or remove ')
    refused(trained_cfg, message)
    with pytest.raises(ConfigError, match=message):
        ChainRunner(trained_cfg).plan()


def test_a_stage_that_is_past_it_without_it_is_one_line(trained_cfg):
    folder = Path(trained_cfg.work_dir)
    (folder / 'resnet20/snapshot_epoch_1.pth').unlink()
    (folder / 'resnet20/resnet20.pth').unlink()
    (folder / 'resnet20_50/resnet20_50.pth').unlink()
    path = folder / 'chain.json'
    ledger = json.loads(path.read_text())
    ledger['stages']['resnet20']['state'] = 'running'
    path.write_text(json.dumps(ledger))
    with pytest.raises(
            ConfigError,
            match='^[^\n]*is missing, and the training is at '
            'epoch 2 already; put it back'):
        ChainRunner(trained_cfg).train()


def test_asked_for_after_the_training_is_one_line(snapshots_cfg, refused):
    cfg = alone(snapshots_cfg(snapshots=[]))
    ChainRunner(cfg).train()
    cfg.resume = True
    cfg.chain.networks.resnet20.snapshots = [0.5]
    refused(cfg, 'holds another chain .*; choose another --work-dir')


@pytest.mark.parametrize('snapshots, message', [
    (0.5, r'resnet20.snapshots: 0.5 must be a list'),
    ([0], r'resnet20.snapshots: 0 must be a fraction of the training'),
    ([1.5], r'resnet20.snapshots: 1.5 must be a fraction'),
    ([True], r'resnet20.snapshots: True must be a fraction'),
    (['x'], r"resnet20.snapshots: 'x' must be a fraction"),
    ([0.501, 0.5], r'resnet20.snapshots: .* has two named "resnet20_50"'),
    ([0.01], r'resnet20_1.at: 0.01 of 2 epochs is epoch 0, and should be from '
     '1 to 1$'),
    ([0.9], r'resnet20_90.at: 0.9 of 2 epochs is epoch 2, and should be'),
    ([0.4, 0.5], r'resnet20: its snapshots "resnet20_50" and "resnet20_40" '
     'are both of epoch 1; leave one out'),
])
def test_wrong_fractions(snapshots_cfg, refused, snapshots, message):
    cfg = snapshots_cfg()
    cfg.chain.networks.resnet20.snapshots = snapshots
    refused(cfg, f'^chain.networks.{message}')


def test_a_training_that_may_end_before_them_is_refused(
        snapshots_cfg, refused):
    cfg = snapshots_cfg()
    cfg.custom_hooks.append(
        dict(type='EarlyStoppingHook', monitor='accuracy/top1'))
    refused(
        cfg, '^chain.networks.resnet20: its training may end before its '
        r'snapshots \(resnet20_50\) by an EarlyStoppingHook')


def test_a_snapshot_is_not_taken_for_the_network_before(
        snapshots_cfg, refused):
    cfg = snapshots_cfg()
    cfg.chain.guidance = 'sequential'
    refused(
        cfg, "^chain.guidance: 'sequential' would teach \"resnet8\" by "
        '"resnet20_50", a snapshot of "resnet20"; give it as a mapping')
