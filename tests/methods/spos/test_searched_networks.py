# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are searched in a supernet."""
import os
import re

import pytest
from mmengine.registry import MODELS
from mmrazor.models.mutables import OneShotMutableOP
from mmrazor.registry import TASK_UTILS

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner

NAME = 'resnet8_searched'


@pytest.fixture
def searched_cfg(trial_cfg):
    """A function that gives a given ResNet-14, and the searched network."""

    def make():
        cfg = trial_cfg('spos')
        cfg.chain.networks.last = None
        search_of(cfg).update(
            num_candidates=4, top_k=2, num_mutation=2, num_crossover=2)
        return cfg

    return make


def search_of(cfg):
    (hook, ) = (
        hook for hook in cfg.chain.networks[NAME].stage.custom_hooks
        if hook.type == 'mmrazor.SubnetSearchHook')
    return hook


def cost_of(subnet):
    """Millions of operations as MMRazor counts them, by a second way."""
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmpretrain.SearchableResNet6n2', depth=14),
            neck=dict(type='mmpretrain.GlobalAveragePooling')))
    choices = [
        module for module in model.modules()
        if isinstance(module, OneShotMutableOP)
    ]
    for choice, number in zip(choices, subnet.tolist()):
        choice.fix_chosen(sorted(choice.choices)[number])
    return TASK_UTILS.build(
        dict(
            type='mmrazor.ResourceEstimator',
            flops_params_cfg=dict(input_shape=(1, 3, 32,
                                               32)))).estimate(model)['flops']


@pytest.mark.slow
@pytest.mark.xdist_group('contract_spos')
def test_it_is_searched_within_its_bounds(tried, weights_of):
    cfg, entry = tried('spos').cfg, tried('spos').ledger[NAME]
    subnet = weights_of(cfg, NAME)['subnet']
    assert min(subnet.tolist()) >= 0
    # Before it was the largest that there may be, now it is what it is.
    assert entry['params'] < tried('spos').before.params
    assert cost_of(subnet) <= search_of(cfg).constraints_range.flops[1]
    assert ChainRunner(cfg).facts[NAME].params == entry['params']


@pytest.mark.parametrize('change, message', [
    (dict(epoch=0), 'SubnetSearchHook.epoch: 0 should be an integer, 1 or '
     'more'),
    (dict(epoch=2), 'SubnetSearchHook.epoch: 2 should be before the end of '
     'the training, which has 2 epochs'),
    (dict(constraints_range=dict(flops=(0, 1))),
     "SubnetSearchHook.constraints_range: {'flops': (0, 1)}: none of 4 "
     'subnets that were drawn is within; they have flops '),
    (dict(constraints_range=dict(latency=1)),
     "constraints_range: {'latency': 1} should be a dict of bounds of "
     'flops and params'),
    (dict(constraints_range=dict(flops='12')),
     "constraints_range.flops: '12' should be the largest, or the "
     'smallest '),
    (dict(num_candidate=3), "unexpected keyword argument 'num_candidate'"),
    (dict(evaluator=dict(type='Nothing')), 'SubnetSearchHook.evaluator: '),
    (dict(num_candidates=3),
     'num_candidates: 3 should be at least top_k, 2, and num_mutation + '
     'num_crossover, 4'),
    (dict(dataloader=dict(dataset=dict(type='Nowhere'))),
     'SubnetSearchHook.dataloader.dataset: '),
])
def test_mistakes_are_refused_before_any_training(searched_cfg, monkeypatch,
                                                  change, message):
    monkeypatch.setattr('mmdgkd.methods.spos.method._DRAWS', 4)
    cfg = searched_cfg()
    dict.update(search_of(cfg), change)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        ChainRunner(cfg).train()
    assert '\n' not in str(error.value)
    assert not os.path.exists(cfg.work_dir)


@pytest.mark.parametrize('change, message', [
    (dict(train_cfg=dict(val_begin=1)),
     f'{NAME}.stage.train_cfg.val_begin: 1 should be after the search, 2 or'),
    (dict(activation_checkpointing=['backbone.layer1']),
     f'activation_checkpointing: chain.networks.{NAME} takes another path'),
])
def test_what_does_not_go_with_it(searched_cfg, change, message):
    cfg = searched_cfg()
    cfg.chain.networks[NAME].stage.update(change)
    with pytest.raises(ConfigError, match=re.escape(message)):
        ChainRunner(cfg).train()


def test_the_images_of_the_test_are_not_searched_on(searched_cfg):
    cfg = searched_cfg()
    search_of(cfg).dataloader.dataset = cfg.val_dataloader.dataset
    with pytest.raises(
            ConfigError, match='dataset: is that of val_dataloader; should'):
        ChainRunner(cfg).train()


def test_a_supernet_is_for_subnet_spos(searched_cfg):
    cfg = searched_cfg()
    model = cfg.chain.networks[NAME].model
    model.update(type='mmrazor.SPOS', mutator=dict(type='mmrazor.NasMutator'))
    with pytest.raises(ConfigError, match='model.type: SPOS cannot train'):
        ChainRunner(cfg).train()


def test_without_a_search_it_would_never_be_chosen(searched_cfg):
    cfg = searched_cfg()
    cfg.chain.networks[NAME].stage.pop('custom_hooks')
    with pytest.raises(
            ConfigError, match=f'{NAME}.stage.custom_hooks: has 0 Subnet'):
        ChainRunner(cfg).train()


def test_a_supernet_may_be_larger_than_its_teachers(searched_cfg):
    """What is left of it is not."""
    runner = ChainRunner(searched_cfg())
    assert 'is smaller than' not in runner.plan()
    teachers = runner.chain.teachers[NAME]
    assert all(runner.facts[NAME].macs > runner.facts[teacher].macs
               for teacher in teachers)


def test_a_path_is_not_compiled(searched_cfg):
    cfg = searched_cfg()
    cfg.chain.networks[NAME].stage.custom_hooks.append(
        dict(type='mmrazor.FastNetworkHook', compile=True))
    with pytest.raises(ConfigError, match='FastNetworkHook.compile: '):
        ChainRunner(cfg).train()
