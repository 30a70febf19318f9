# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain whose numbers of channels DMCP learns."""
import os
import random

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError
from mmdgkd.chain.network import count_macs
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.dmcp.subnet_dmcp import nearest_within
from mmdgkd.models.utils.networks import static_network

NAME = 'resnet8_pruned'


@pytest.fixture
def dmcp_cfg(trial_cfg):
    """A function that gives a ResNet-8 of learned sizes, and one after it."""
    return lambda: trial_cfg('dmcp')


@pytest.fixture
def supernet(dmcp_cfg, tmp_path):
    """It alone, in training, in no Runner."""
    MessageHub.get_instance(str(tmp_path))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dmcp_cfg().chain.networks[NAME].model).train()


def step(model, optimizer):
    """A step on two images: the losses."""
    samples = [DataSample().set_gt_label(label) for label in (1, 2)]
    losses = model(torch.ones(2, 3, 8, 8), samples, mode='loss')
    optimizer.zero_grad()
    model.parse_losses(losses)[0].backward()
    optimizer.step()
    return losses


@pytest.mark.slow
@pytest.mark.xdist_group('contract_dmcp')
def test_it_is_learned_down_to_the_target(tried, weights_of, built_from_file,
                                          teacher_as_run):
    cfg, largest = tried('dmcp').cfg, tried('dmcp').before
    entry = tried('dmcp').ledger[NAME]
    assert min(weights_of(cfg, NAME)['groups'].tolist()) >= 0
    # Before it was the largest that there may be, now it is what it is.
    assert entry['macs'] <= 390000 < largest.macs
    assert ChainRunner(cfg).facts[NAME].params == entry['params']
    assert entry['params'] < largest.params
    inputs = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(
        teacher_as_run(cfg, 'last', NAME)(inputs, mode='tensor'),
        built_from_file(cfg, NAME)(inputs, mode='tensor'),
        rtol=1e-4,
        atol=1e-5)


def test_the_operations_are_those_that_pytorch_counts(supernet):
    """Of any sizes: what comes into a layer is what went out before it."""
    torch.manual_seed(0)
    for _ in range(3):
        groups = torch.randint(0, 7, (6, )).tolist()
        supernet.groups.copy_(torch.tensor(groups))
        supernet._read_groups()
        macs, _ = count_macs(
            static_network(supernet), torch.zeros(1, 3, 8, 8), mode='tensor')
        assert supernet.macs(supernet.sizes(groups)) == macs


def test_sizes_are_learned_to_the_target(supernet):
    optimizer = torch.optim.SGD(supernet.parameters(), lr=.5)
    wanted = supernet.target_macs * 1e6
    weights = supernet.architecture.head.fc.weight
    for i in range(60):
        before = [p.clone() for p in supernet.mutator.arch_params.values()]
        losses = step(supernet, optimizer)
        after = list(supernet.mutator.arch_params.values())
        learned = not all(map(torch.equal, before, after))
        # In each second step.
        assert ('loss_flops' in losses) == (i % 2 == 0) == learned
    expected = float(supernet.macs(supernet.sizes(supernet.expected())))
    assert expected == pytest.approx(wanted, rel=.2)
    assert weights.isfinite().all()
    # Between the steps it is the parent network.
    assert all(unit.mutable_channel.mask.all()
               for unit in supernet.mutator.units)


def test_each_kind_of_subnet_has_its_turn(supernet, monkeypatch):
    supernet.strategy = ['min', 'arch_random']
    kinds = []
    take = type(supernet).set_subnet
    monkeypatch.setattr(
        type(supernet), 'set_subnet', lambda self, kind:
        (kinds.append(kind), take(self, kind)))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.)
    for _ in range(6):
        step(supernet, optimizer)
    # The largest learns the sizes in each second step.
    assert kinds == ['max', 'min', 'max', 'direct', 'max', 'min']


def test_what_is_drawn_is_a_function_of_the_step(supernet):
    supernet.arch_start_train = 100
    supernet.strategy = ['arch_random']
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.)
    drawn = []
    for _ in range(2):
        supernet._clock._ticks = 6
        random.random()
        before = random.getstate()
        drawn.append(float(step(supernet, optimizer)['loss']))
        assert random.getstate() == before
    assert drawn[0] == drawn[1]
    supernet._clock._ticks = 7
    assert float(step(supernet, optimizer)['loss']) != drawn[0]


def test_a_step_that_is_taken_back_takes_the_choice_along(supernet):
    before = supernet.groups.clone()
    supernet.choose()
    assert supernet.chosen
    chosen = [unit.current_choice for unit in supernet.mutator.units]
    supernet.groups.copy_(before)
    assert not supernet.chosen
    assert all(unit.mutable_channel.mask.all()
               for unit in supernet.mutator.units)
    supernet.choose()
    assert chosen == [unit.current_choice for unit in supernet.mutator.units]


def test_nearest_within():
    assert nearest_within([1.4, 2.6, 0.], sum, 9) == [1, 3, 0]
    assert nearest_within([1.4, 2.6, 0.], sum, 3) == [1, 2, 0]
    assert nearest_within([1.4, 2.6, 0.], sum, 0) == [0, 0, 0]


@pytest.mark.parametrize('key, value, message', [
    ('model.target_macs', .01, 'model.target_macs: 0.01 should be from 0.0'),
    ('model.target_macs', 6., 'model.target_macs: 6.0 should be from 0.0'),
    ('model.search_epochs', 0, 'model.search_epochs: 0 should be an '),
    ('model.search_epochs', 2, 'model.search_epochs: 2 should be before the '
     'end of the training, which has 2 epochs'),
    ('model.arch_start_train', 2, 'model.arch_start_train: 2 should be before '
     'the end of the search, which has 2 iterations'),
    ('model.strategy', ['max', 'mix'], "model.strategy: ['max', 'mix'] should "
     'be some of max, min, arch_random'),
    ('model.mutator_cfg.pruning_cfg', (.1, 1, .05),
     'model.mutator_cfg.pruning_cfg: (0.1, 1, 0.05) makes no groups of the '
     "16 channels of 'backbone.conv1_(0, 16)_16'"),
    ('stage.train_cfg.val_begin', 1, 'stage.train_cfg.val_begin: 1 should be '
     'after the search, 2 or more'),
])
def test_mistakes_are_refused_before_any_training(dmcp_cfg, key, value,
                                                  message):
    cfg = dmcp_cfg()
    *path, last = key.split('.')
    place = cfg.chain.networks[NAME]
    for name in path:
        place = place[name]
    place[last] = value
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    assert message in str(error.value)
    assert str(error.value).startswith(f'chain.networks.{NAME}.')
    assert '\n' not in str(error.value)
    assert not os.path.exists(cfg.work_dir)


def test_mmrazors_own_is_refused(dmcp_cfg):
    cfg = dmcp_cfg()
    model = cfg.chain.networks[NAME].model
    dict.__setitem__(
        cfg.chain.networks[NAME], 'model',
        dict(
            type='mmrazor.DMCP',
            architecture=model.architecture,
            mutator_cfg=model.mutator_cfg,
            distiller=dict(type='mmrazor.ConfigurableDistiller')))
    with pytest.raises(
            ConfigError, match='model.type: DMCP trains by steps of its own'):
        ChainRunner(cfg).train()
