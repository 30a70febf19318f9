# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain from which Group Fisher pruning takes channels."""
import os

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmrazor.registry import TASK_UTILS

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.utils.config import type_of

NAME = 'resnet8_pruned'


@pytest.fixture
def fisher_cfg(trial_cfg):
    """A function that gives a given ResNet-8, and the pruned one."""

    def make(epochs=2, target=.95, **kwargs):
        cfg = trial_cfg('fisher', epochs, **kwargs)
        cfg.chain.networks[NAME].model.target_flops_ratio = target
        return cfg

    return make


def masks_of(state):
    return [data for key, data in state.items() if key.endswith('mask')]


@pytest.mark.slow
def test_it_is_pruned_to_the_target_tested_and_exported(
        fisher_cfg, weights_of, built_from_file, teacher_as_run):
    cfg = fisher_cfg(4, target=.97, images=96)
    cfg.default_hooks.checkpoint.interval = 12
    runner = ChainRunner(cfg)
    assert runner.facts[NAME].params == runner.facts['resnet8'].params
    ledger = runner.train()
    entry = ledger[NAME]
    state = weights_of(cfg, NAME)
    gone = [int(mask.numel() - mask.sum()) for mask in masks_of(state)]
    # One in each step, until it is enough: of twelve steps not all.
    assert 0 < sum(gone) < 12 and gone[-1] == 0
    assert entry['params'] < ledger['last']['params']
    model = built_from_file(cfg, NAME)
    assert model.left <= .97 and model.left > .93
    again = ChainRunner(cfg)
    assert again.facts[NAME].params == entry['params']
    tested = again.test(NAME)[NAME]['accuracy/top1']
    assert tested == pytest.approx(entry['metric']['last'])

    ((path, facts), ) = export_chain(cfg, again.chain, NAME).items()
    assert facts.params == entry['params'] and facts.macs == entry['macs']
    teacher = teacher_as_run(cfg, 'last', NAME)
    inputs = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(
        teacher(inputs, mode='tensor'),
        model(inputs, mode='tensor'),
        rtol=1e-4,
        atol=1e-5)


def test_the_least_important_channel_goes_first(fisher_cfg):
    """By Taylor's formula for the total loss (eq. 4)."""
    cfg = fisher_cfg()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.chain.networks[NAME].model)
    model.train()
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    seen = []

    def see(layer, args):
        args[0].retain_grad()
        seen.append(args[0])

    model.architecture.backbone.layer2[0].conv2.register_forward_pre_hook(see)
    model.begin_step()
    torch.nn.functional.cross_entropy(
        model(images, mode='tensor'), labels, reduction='sum').backward()
    model.mutator.end_record_info()
    model.mutator.update_imp()
    model.mutator.reset_recorded_info()
    units = {unit.name: unit for unit in model.mutator.mutable_units}
    wanted = (seen[0] * seen[0].grad).sum((2, 3)).square().sum(0).double()
    name = 'backbone.layer2.0.conv1_(0, 32)_32'
    found = units[name].normalized_fisher_info
    # All channels of a unit cost the same.
    torch.testing.assert_close(found / found.max(), wanted / wanted.max())
    least = min(
        model.mutator.mutable_units, key=lambda unit: unit.importance().min())
    index = least.importance().argmin()
    model.mutator.try_prune()
    assert least.mutable_channel.mask[index] == 0
    gone = sum((unit.mutable_channel.mask == 0).sum()
               for unit in model.mutator.mutable_units)
    assert gone == 1


@pytest.mark.parametrize('key, value, message', [
    ('type', 'mmrazor.GroupFisherAlgorithm',
     'type: GroupFisherAlgorithm cannot have teachers, and prunes without end'
     '; use TargetGroupFisher'),
    ('mutator.channel_unit_cfg.type', 'GroupFisherChannelUnit',
     'mutator.channel_unit_cfg.type: GroupFisherChannelUnit cannot be resumed'
     ),
    ('mutator.channel_unit_cfg.default_args.mutate_linear', True,
     'mutator.channel_unit_cfg.default_args.mutate_linear: '),
    ('interval', 0, 'interval: 0 should be a'),
    ('target_flops_ratio', 1, 'target_flops_ratio: 1 should be the share'),
    ('target_flops_ratio', .001, 'target_flops_ratio: 0.001 is too little: '),
    ('target_flops_ratio', .5, 'interval: 1 iterations are too long: in the 4 '
     'of the training 4 channels are pruned, and for the target it takes '),
])
def test_mistakes_are_refused_before_any_training(fisher_cfg, key, value,
                                                  message):
    cfg = fisher_cfg()
    if key == 'type':
        del cfg.chain.networks[NAME].model['target_flops_ratio']
    cfg.merge_from_dict({f'chain.networks.{NAME}.model.{key}': value})
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    assert message in str(error.value)
    assert str(error.value).startswith(f'chain.networks.{NAME}.model')
    assert '\n' not in str(error.value)
    assert not os.path.exists(cfg.work_dir)


@pytest.mark.parametrize('change, message', [
    (dict(sync_bn='torch'), 'sync_bn: '),
    (dict(activation_checkpointing=['backbone.layer1']),
     'activation_checkpointing: '),
    (dict(custom_hooks=[dict(type='mmrazor.FastNetworkHook', compile=True)]),
     'custom_hooks: FastNetworkHook.compile: '),
])
def test_what_does_not_go_with_it(fisher_cfg, change, message):
    cfg = fisher_cfg()
    cfg.chain.networks[NAME].stage = change
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize('scale', [1., 2.**20])
def test_a_large_loss_prunes_the_same_channel(fisher_cfg, scale):
    """MMRazor takes what is above 1e5 for the last of all."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        model = MODELS.build(fisher_cfg().chain.networks[NAME].model)
    model.train()
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    model.begin_step()
    logits = model(images, mode='tensor')
    (scale * torch.nn.functional.cross_entropy(logits, labels)).backward()
    # What the least important channel is, by the definition.
    model.mutator.end_record_info()
    model.mutator.update_imp()
    units = model.mutator.mutable_units
    least = min(units, key=lambda unit: unit.importance().min())
    index = least.importance().argmin()
    model.mutator.reset_imp()
    model.mutator.start_record_info()
    assert model.end_step(0)
    assert least.mutable_channel.mask[index] == 0
    assert sum(int((u.mutable_channel.mask == 0).sum()) for u in units) == 1
    # No gradients were recorded since: nothing more is pruned.
    model.begin_step()
    assert not model.end_step(0)
    assert sum(int((u.mutable_channel.mask == 0).sum()) for u in units) == 1


def test_it_is_not_pruned_twice_a_step(fisher_cfg):
    cfg = fisher_cfg()
    cfg.custom_hooks.append(dict(type='mmrazor.GroupFisherHook'))
    runner = ChainRunner(cfg)
    stage = stage_config(cfg, runner.chain, NAME, {}, '')
    kinds = [type_of(hook) for hook in stage.custom_hooks]
    assert kinds.count('GroupFisherHook') == 1


def test_several_processes_and_scaled_gradients_are_refused(
        fisher_cfg, monkeypatch):
    cfg = fisher_cfg()
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    # On the CPU nothing is scaled.
    assert ChainRunner(cfg).facts
    here = 'mmdgkd.methods.group_fisher.method'
    with monkeypatch.context() as patch:
        patch.setattr(f'{here}.get_device', lambda: 'cuda')
        with pytest.raises(ConfigError, match='^optim_wrapper.type: Amp'):
            ChainRunner(cfg).train()
    monkeypatch.setattr(f'{here}.is_distributed', lambda: True)
    with pytest.raises(ConfigError, match='one process alone'):
        ChainRunner(cfg).train()


def test_what_is_counted_is_what_mmrazor_counts(fisher_cfg):
    cfg = fisher_cfg()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.chain.networks[NAME].model)
    assert model.left == 1
    mask = model.mutator.mutable_units[1].mutable_channel.mask
    mask[:8] = 0
    model._left = None
    estimator = TASK_UTILS.build(
        dict(
            type='mmrazor.ResourceEstimator',
            flops_params_cfg=dict(input_shape=(1, 3, 32, 32))))
    # Of the dynamic modules themselves, whose counters are MMRazor's.
    half = estimator.estimate(model.architecture)['flops']
    left = model.left
    mask[:] = 1
    full = estimator.estimate(model.architecture)['flops']
    assert left == pytest.approx(half / full, rel=5e-3)
