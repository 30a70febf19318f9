# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which weights of a training teach, are tested and exported."""
import glob
import json
import os
import os.path as osp
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.registry import METRICS

from mmdgkd import ConfigError
from mmdgkd.chain.entries import read_entry
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.use import format_use, prepare_use
from mmdgkd.report.records import read_runs

NETWORK = dict(model=dict(type='ImageClassifier'))


@METRICS.register_module(force=True)
class SecondIsBest(BaseMetric):
    """A metric whose second epoch is the best, after one that is a list."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        epoch = MessageHub.get_current_instance().get_info('epoch')
        return dict(each=[1.0], top1=[1.0, 3.0, 2.0][epoch])


@pytest.fixture
def make(tiny_cfg):
    """A function that gives a chain of two networks and three epochs."""

    def make(work_dir='work', **uses):
        cfg = tiny_cfg(epochs=3, work_dir=work_dir)
        cfg.chain.networks.resnet20 = None
        cfg.chain.networks.resnet14.model.backbone.depth = 8
        cfg.val_evaluator = dict(type='SecondIsBest')
        cfg.chain.logit_store = None
        for name, use in uses.items():
            cfg.chain.networks[name].use = use
        return cfg

    return make


def state_of(cfg, name, file):
    folder = osp.join(cfg.work_dir, name)
    state = torch.load(osp.join(folder, file), weights_only=True)['state_dict']
    return {
        key.removeprefix('architecture.'): data
        for key, data in state.items()
    }


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def test_the_best_epoch_teaches_and_is_exported(make, weights_of, capsys,
                                                monkeypatch):
    """A change of use rewrites what was kept, and refuses all else."""
    cfg = make(resnet14='best', resnet8='best')
    ChainRunner(cfg, verbose=False).train()
    assert 'top1 3.00, best at 2' in capsys.readouterr().out
    ledger = ChainRunner(cfg).work.ledger
    for name in ('resnet14', 'resnet8'):
        kept, = glob.glob(osp.join(cfg.work_dir, name, 'best_*.pth'))
        assert same(
            weights_of(cfg, name), state_of(cfg, name, osp.basename(kept)))
        assert not same(
            weights_of(cfg, name), state_of(cfg, name, 'epoch_3.pth'))
        assert ledger[name]['use'] == 'best'
        assert format_use(ledger[name]) == ', best at 2'
    assert ledger['resnet8']['read']['resnet14']['sha256'] == ledger[
        'resnet14']['wrote']['sha256']
    run, = read_runs([cfg.work_dir])
    assert run.stages['resnet8'].used == 3
    meta = torch.load(
        ChainRunner(cfg).work.file_of('resnet8'), weights_only=True)['meta']
    assert (meta['use'], meta['epoch'], meta['last']) == ('best', 2, 2)
    ChainRunner(cfg, verbose=False).test('resnet8')
    assert ' 3.00 |' in capsys.readouterr().out

    # The student has no readers.
    before = weights_of(cfg, 'resnet8')
    cfg.resume = True
    cfg.chain.networks.resnet8.use = 'last'
    assert "done, to be written as 'last'" in ChainRunner(cfg).plan()
    ChainRunner(cfg).train()
    assert same(
        weights_of(cfg, 'resnet8'), state_of(cfg, 'resnet8', 'epoch_3.pth'))
    assert 'use' not in ChainRunner(cfg).work.ledger['resnet8']
    cfg.chain.networks.resnet8.use = 'best'
    ChainRunner(cfg).train()
    assert same(weights_of(cfg, 'resnet8'), before)

    def refused(message, **uses):
        for name, use in uses.items():
            cfg.chain.networks[name].use = use
        with pytest.raises(ConfigError, match=message):
            ChainRunner(cfg).plan()

    # By another validation another one may be the best.
    cfg.val_evaluator.prefix = 'other'
    with monkeypatch.context() as patch:
        said = []
        patch.setattr('mmdgkd.chain.changed_stage.print_log',
                      lambda text, **_: said.append(text))
        ChainRunner(cfg).plan()
        assert said[-1].endswith('its best weights stay those of before')
    record = Path(cfg.work_dir, 'chain.json')
    text = record.read_text()
    running = json.loads(text)
    running['stages']['resnet8']['state'] = 'running'
    record.write_text(json.dumps(running))
    refused('resnet8.: was trained with another config: val_evaluator.prefix ')
    record.write_text(text)
    cfg.val_evaluator.pop('prefix')
    refused(
        'chain.networks.resnet14.use: is .last., but "resnet8" was trained '
        "with its 'best' weights; take that back, .* or remove .*resnet8",
        resnet14='last')
    refused(
        'chain.networks.resnet8.use: is .ema., but "resnet8" is trained '
        'without averages; take that back',
        resnet14='best',
        resnet8='ema')
    kept, = glob.glob(osp.join(cfg.work_dir, 'resnet8', 'best_*.pth'))
    cfg.chain.networks.resnet8.use = 'last'
    ChainRunner(cfg).train()
    os.remove(kept)
    refused(
        'use: is .best., but "resnet8" was trained by .last., and its best '
        'epoch was not kept; take that back',
        resnet8='best')


def test_a_best_epoch_is_resumed_to_the_same_bits(make, killed_and_whole):
    """Also where it is before the kill."""
    whole = make('whole', resnet8='best')
    torn = make('torn', resnet8='best')
    first, second = killed_and_whole(whole, torn, 'resnet8', 5)
    assert first.keys() == second.keys() and same(first, second)
    assert not same(first, state_of(torn, 'resnet8', 'epoch_3.pth'))


def test_averages_are_switched_on_and_resumed(make, killed_and_whole):
    """In mixed precision, as --amp has it."""
    both = make('whole'), make('torn')
    for cfg in both:
        cfg.chain.networks.resnet14 = None
        cfg.chain.networks.resnet8.use = 'ema'
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    first, second = killed_and_whole(*both, 'resnet8', 3)
    assert same(first, second)
    saved = torch.load(
        osp.join(both[0].work_dir, 'resnet8', 'epoch_3.pth'),
        weights_only=True)
    raw = {
        key.removeprefix('module.'): data
        for key, data in saved['ema_state_dict'].items()
    }
    assert same(first, saved['state_dict'])
    assert not torch.equal(first['head.fc.weight'], raw['head.fc.weight'])
    assert ChainRunner(both[0]).work.ledger['resnet8']['use'] == 'ema'


@pytest.mark.slow
def test_two_ranks(make, states_of_ranks, weights_of, tmp_path):
    """Each network is once the average and once the best epoch."""
    cfg = make(resnet14='ema', resnet8='best')
    cfg.val_evaluator = dict(type='mmpretrain.Accuracy')
    first, second = states_of_ranks(cfg, 'resnet8')
    assert same(first, second)
    cfg.work_dir = str(tmp_path / 'work')
    best_at = ChainRunner(cfg).work.ledger['resnet8']['metric']['best_at']
    kept, = glob.glob(
        osp.join(cfg.work_dir, 'resnet8', f'best_*_{best_at}.pth'))
    assert same(
        weights_of(cfg, 'resnet8'), state_of(cfg, 'resnet8',
                                             osp.basename(kept)))


STAGE = dict(
    val_dataloader={},
    val_evaluator={},
    val_cfg={},
    train_cfg=dict(max_epochs=2),
    default_hooks=dict(checkpoint=dict(interval=1)))


@pytest.mark.parametrize('change, metric, message', [
    (dict(val_evaluator=None), None,
     "x.use: 'best' needs a validation, but val_evaluator is missing"),
    (dict(train_cfg=dict(max_epochs=2, val_begin=3)), None,
     'but train_cfg.val_begin=3 is after the end, 2'),
    ({}, 'colour', "'best' of 'colour' is not known; set chain.metric=dict"),
    (dict(default_hooks=dict(checkpoint=None)), None,
     'but default_hooks.checkpoint is off'),
    (dict(default_hooks=dict(checkpoint=dict(save_best='f1'))), 'acc',
     "default_hooks.checkpoint.save_best: 'f1' is not chain.metric"),
])
def test_no_best_epoch(change, metric, message):
    with pytest.raises(ConfigError, match=message):
        prepare_use(Config({**STAGE, **change}), 'best', 'x', metric, None)


def test_what_is_no_use():
    assert read_entry('x', NETWORK).use == 'last'
    for entry, message in (
        (dict(use='mean'), "x.use: 'mean' is none of last, best, ema"),
        (dict(use='ema', ckpt_path='f.pth'), "x.use: 'ema' is for a network "
         'that is trained here, but it has a ckpt_path; .* by ckpt_key')):
        with pytest.raises(ConfigError, match=message):
            read_entry('x', dict(NETWORK, **entry))


def test_averages_of_the_config_are_kept():
    own = dict(type='EMAHook', momentum=0.5)
    for before, after in (([], 1), ([own], 1)):
        stage = Config(dict(STAGE, custom_hooks=before))
        prepare_use(stage, 'ema', 'x', None, None)
        assert len(stage.custom_hooks) == after
        assert stage.custom_hooks[0].type == 'EMAHook'
    assert stage.custom_hooks[0].momentum == 0.5


def test_a_quantized_network_has_no_average(digits_cfg, refused, tmp_path):
    cfg = digits_cfg('quantization/qat8_resnet20_to_resnet8_digits.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.chain.networks.resnet8_int8.use = 'ema'
    refused(
        cfg, "^chain.networks.resnet8_int8.use: 'ema': a quantized network "
        "gets .* which cannot be averaged; use 'last' or 'best'")
