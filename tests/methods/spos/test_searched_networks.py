# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are searched in a supernet."""
import os
import re

import pytest
import torch
from mmengine.registry import MODELS
from mmrazor.models.mutables import OneShotMutableOP
from mmrazor.registry import TASK_UTILS

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.torch_export import export_chain

NAME = 'resnet8_searched'


@pytest.fixture
def searched_cfg(tiny_cfg, root):
    """A function that gives the chain whose last network is searched."""

    def make(epochs=2, **kwargs):
        cfg = tiny_cfg(epochs,
                       root / 'configs/nas/spos_resnet20_to_resnet8_digits.py',
                       **kwargs)
        networks = cfg.chain.networks
        networks.resnet20 = networks.resnet8 = None
        networks[NAME].stage.train_dataloader.dataset.indices = 64
        networks[NAME].stage.train_cfg.val_begin = 2
        hook = search_of(cfg)
        hook.update(
            epoch=1,
            max_epochs=2,
            num_candidates=4,
            top_k=2,
            num_mutation=2,
            num_crossover=2)
        hook.dataloader.dataset.indices = -32
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


def test_it_is_searched_trained_on_tested_and_exported(searched_cfg,
                                                       weights_of,
                                                       built_from_file):
    cfg = searched_cfg()
    runner = ChainRunner(cfg)
    largest = runner.facts[NAME]
    ledger = runner.train()
    entry = ledger[NAME]
    assert entry['guides'] == ['resnet14']
    subnet = weights_of(cfg, NAME)['subnet']
    assert min(subnet.tolist()) >= 0
    # Before it was the largest that there may be, now it is what it is.
    assert entry['params'] < largest.params
    assert cost_of(subnet) <= search_of(cfg).constraints_range.flops[1]
    again = ChainRunner(cfg)
    assert again.facts[NAME].params == entry['params']
    tested = again.test(NAME)[NAME]['accuracy/top1']
    assert tested == pytest.approx(entry['metric']['last'])

    facts = export_chain(cfg, again.chain, NAME)
    (path, ) = facts
    assert facts[path].params == entry['params']
    assert facts[path].macs == entry['macs']
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    found = torch.export.load(path).module()(images)
    model = built_from_file(cfg, NAME)
    with torch.no_grad():
        data = model.data_preprocessor(dict(inputs=list(images)))
        wanted = model(data['inputs'], mode='tensor')
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('iteration',
                         [2, pytest.param(4, marks=pytest.mark.slow)])
def test_resumed_it_ends_with_the_same_bits(searched_cfg, killed_and_whole,
                                            iteration):
    """Before the search, and after it: two iterations an epoch."""
    whole = searched_cfg(3, work_dir='whole')
    torn = searched_cfg(3, work_dir='torn')
    for cfg in (whole, torn):
        cfg.chain.guidance = 'none'
        cfg.chain.networks.resnet14 = None
    one, other = killed_and_whole(whole, torn, NAME, iteration)
    assert min(one['subnet'].tolist()) >= 0
    assert all(torch.equal(data, other[name]) for name, data in one.items())


@pytest.mark.slow
def test_it_guides_others_as_its_subnet(searched_cfg):
    cfg = searched_cfg()
    cfg.chain.networks.last = dict(model=cfg.chain.networks.resnet14.model)
    ledger = ChainRunner(cfg).train()
    assert ledger['last']['guides'] == ['resnet14', NAME]
    assert any(
        name.startswith(f'{NAME}-')
        for name in os.listdir(f'{cfg.work_dir}/logits'))


@pytest.mark.parametrize('change, message', [
    (dict(epoch=0), 'SubnetSearchHook.epoch: 0 should be an integer, 1 or '
     'more'),
    (dict(epoch=2), 'SubnetSearchHook.epoch: 2 should be before the end of '
     'the training, which has 2 epochs'),
    (dict(constraints_range=dict(flops=(0, 1))),
     'SubnetSearchHook.constraints_range: {\'flops\': (0, 1)}: none of 100 '
     'subnets that were drawn is within; they have flops '),
    (dict(constraints_range=dict(latency=1)),
     "constraints_range: {'latency': 1} should be a dict of bounds of flops "
     'and params'),
    (dict(constraints_range=dict(flops='12')),
     "constraints_range.flops: '12' should be the largest, or the smallest "),
    (dict(num_candidate=3), "unexpected keyword argument 'num_candidate'"),
    (dict(evaluator=dict(type='Nothing')), 'SubnetSearchHook.evaluator: '),
    (dict(num_candidates=3),
     'num_candidates: 3 should be at least top_k, 2, and num_mutation + '
     'num_crossover, 4'),
    (dict(dataloader=dict(dataset=dict(type='Nowhere'))),
     'SubnetSearchHook.dataloader.dataset: '),
])
def test_mistakes_are_told_before_any_training(searched_cfg, change, message):
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


def test_a_path_is_not_compiled(searched_cfg):
    cfg = searched_cfg()
    cfg.chain.networks[NAME].stage.custom_hooks.append(
        dict(type='mmrazor.FastNetworkHook', compile=True))
    with pytest.raises(ConfigError, match='FastNetworkHook.compile: '):
        ChainRunner(cfg).train()
