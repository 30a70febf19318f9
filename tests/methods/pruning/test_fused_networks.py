# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain whose filters MMRazor's DCFF fuses in their stage."""
import os

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner

NAME = 'resnet8_pruned'


@pytest.fixture
def fused_cfg(trial_cfg):
    """A function that gives a ResNet-8 that is fused, and one after it."""
    return lambda: trial_cfg('dcff')


@pytest.mark.slow
def test_it_begins_from_another_is_fused_tested_and_exported(
        fused_cfg, weights_of, built_from_file, teacher_as_run,
        trained_resnet8):
    cfg = fused_cfg()
    # Its filters stay what they were.
    cfg.chain.networks[NAME].stage = dict(
        optim_wrapper=dict(optimizer=dict(lr=0.)), param_scheduler=None)
    runner = ChainRunner(cfg)
    ledger = runner.train()
    entry = ledger[NAME]
    assert entry['params'] == 19954 < ledger['last']['params']
    state = weights_of(cfg, NAME)
    parent = torch.load(trained_resnet8, weights_only=True)['state_dict']
    filters = state['architecture.backbone.conv1.weight']
    assert torch.equal(filters, parent['backbone.conv1.weight'])
    # Each is a weighted sum of all: of those, eight times.
    fusion = state['mutator.units.0.fusion_0'][:8]
    torch.testing.assert_close(fusion.sum(1), torch.ones(8))
    assert (fusion >= 0).all() and not torch.equal(fusion, torch.eye(16)[:8])

    # A new process has nothing but the file.
    tested = ChainRunner(cfg).test(NAME)[NAME]
    assert tested['accuracy/top1'] == pytest.approx(entry['metric']['last'])
    ((path, facts), ) = export_chain(cfg, runner.chain, NAME).items()
    assert facts.params == 19954 and facts.macs == entry['macs']
    program = torch.export.load(path)
    torch.testing.assert_close(
        program.state_dict['network.backbone.conv1.weight'],
        torch.einsum('kn,nchw->kchw', fusion, filters))
    # Its file is what is loaded, and what counts in it are the fusions.
    model = built_from_file(cfg, NAME)
    images = torch.randn(3, 3, 8, 8)
    # As a teacher it is what is left of it, its batch normalization folded.
    teacher = teacher_as_run(cfg, 'last', NAME)
    assert not any(
        isinstance(part, torch.nn.BatchNorm2d) for part in teacher.modules())
    torch.testing.assert_close(
        teacher(images, mode='tensor'),
        model(images, mode='tensor'),
        rtol=1e-4,
        atol=1e-5)
    logits = []
    for name in state:
        if 'fusion' in name:
            state = dict(state, **{name: state[name].flip(0)})
        model.load_state_dict(state)
        logits.append(model(images, mode='tensor'))
    assert not torch.equal(logits[0], logits[-1])


@pytest.mark.parametrize('key, value, message', [
    ('mutator_cfg.channel_unit_cfg.type', 'DCFFChannelUnit',
     'mutator_cfg.channel_unit_cfg.type: DCFFChannelUnit keeps the fusion of '
     'filters in no file; use FusionChannelUnit'),
    ('prune_times', 2, 'prune_times: 2; DCFF fuses filters every step_freq '
     'epochs, to the end; leave it out'),
    ('linear_schedule', True, 'linear_schedule: DCFF prunes at once'),
    ('step_freq', 0, 'step_freq: 0 should be an integer'),
    ('step_freq', 2, 'step_freq: 2 epochs; should be fewer than the training '
     'has, 2'),
])
def test_mistakes_are_refused_before_any_training(fused_cfg, key, value,
                                                  message):
    cfg = fused_cfg()
    cfg.merge_from_dict({f'chain.networks.{NAME}.model.{key}': value})
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    assert str(
        error.value).startswith(f'chain.networks.{NAME}.model.{message}')
    assert '\n' not in str(error.value)
    assert not os.path.exists(cfg.work_dir)
