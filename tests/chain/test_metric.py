# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a validation gives, from what is recorded to what is printed."""
import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from mmdgkd import ConfigError
from mmdgkd.chain.metric import chosen_metric, read_metric
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.utils.metrics import number_of, rule_of


@METRICS.register_module(force=True)
class PerClass(BaseMetric):
    """One list, and numbers whose names tell nothing."""

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(each=[1., 2.], matrix=torch.ones(2, 2), total=float(64))


@pytest.mark.parametrize('name, rule', [
    ('accuracy/top1', 'greater'),
    ('single-label/f1-score', 'greater'),
    ('multi-label/mAP', 'greater'),
    ('retrieval/Recall@1', 'greater'),
    ('val/loss', 'less'),
    ('nll/mean', 'less'),
    ('top1_error', 'less'),
    ('my/number', None),
    ('stop', None),
])
def test_the_name_tells_which_is_better(name, rule):
    assert rule_of(name) == rule


def test_numbers():
    for one in (2, 2., np.float32(2), torch.tensor(2.), np.array([2])):
        assert number_of(one) == 2
    for other in ([2.], torch.ones(2), np.ones((2, 2)), None, 'x', {}):
        assert number_of(other) is None


def test_the_first_number_or_the_chosen_one():
    metrics = dict(each=[1., 2.], a=torch.tensor(3.), b=0)
    assert chosen_metric(metrics, None) == ('a', 3)
    assert chosen_metric(metrics, 'b') == ('b', 0)
    assert chosen_metric(dict(each=[1.]), None) is None
    with pytest.raises(
            ConfigError, match='"c" is not measured; .* each, a, b'):
        chosen_metric(metrics, 'c')
    with pytest.raises(
            ConfigError, match='"each" is not a single number; a, b'
            ' would be'):
        chosen_metric(metrics, 'each')


@pytest.mark.parametrize('cfg, message', [
    (3, 'chain.metric: must be a name or dict'),
    (dict(name=3), 'chain.metric.name: 3 must be'),
    (dict(rule='more'), "chain.metric.rule: 'more' must be 'greater' or"),
    (dict(names='x'), 'chain.metric.names: '),
])
def test_bad_input(cfg, message):
    with pytest.raises(ConfigError, match=message):
        read_metric(cfg)


def test_lists_are_printed_and_the_number_is_recorded(tiny_cfg, capsys):
    cfg = tiny_cfg(epochs=2)
    cfg.val_evaluator = cfg.test_evaluator = dict(type='PerClass')
    cfg.chain.metric = dict(rule='less')
    cfg.chain.networks.resnet14 = None
    ledger = ChainRunner(cfg, verbose=False).train()
    metric = ledger['resnet8']['metric']
    assert (metric['name'], metric['best'], metric['last']) == ('total', 64,
                                                                64)
    cfg.resume = True
    capsys.readouterr()
    ChainRunner(cfg, verbose=False).test()
    output = capsys.readouterr().out
    assert '| network  | total | in the ledger |' in output
    assert 'resnet8: each: [1.0, 2.0]' in output


def test_without_any_number_the_chain_is_trained(tiny_cfg):
    cfg = tiny_cfg(images=32)
    cfg.val_evaluator = cfg.test_evaluator = dict(
        type='SingleLabelMetric', average=None, items=('precision', ))
    cfg.chain.networks.resnet14 = None
    runner = ChainRunner(cfg)
    ledger = runner.train()
    assert ledger['resnet8']['state'] == 'done'
    assert 'metric' not in ledger['resnet8']
    cfg.resume = True
    assert len(ChainRunner(cfg).test()) == 2


@pytest.mark.parametrize('interval', [1, 10])
def test_a_stage_that_ends_early_is_done(tiny_cfg, weights_of, interval):
    """Also where no checkpoint is due at its end."""
    cfg = tiny_cfg(epochs=12)
    cfg.default_hooks.checkpoint.interval = interval
    cfg.chain.networks.resnet14 = None
    cfg.custom_hooks.append(
        dict(
            type='EarlyStoppingHook',
            monitor='accuracy/top1',
            patience=1,
            min_delta=200.))
    ledger = ChainRunner(cfg).train()
    for name in ('resnet20', 'resnet8'):
        assert ledger[name]['state'] == 'done'
        assert len(ledger[name]['metric']['history']) == 2
        assert weights_of(cfg, name)
    cfg.resume = True
    assert ChainRunner(cfg).train()['resnet8']['state'] == 'done'
