# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that an algorithm of MMRazor prunes in their stage."""
import os
import re
import subprocess
import sys

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner

UNIT = 'backbone.layer1.0.conv1_(0, 16)_16'


@pytest.fixture
def pruned_cfg(trial_cfg):
    """A function that gives a given ResNet-8, and the pruned one."""

    def make(epochs=2, prune_times=1):
        cfg = trial_cfg('l1', epochs)
        cfg.chain.networks.resnet8_pruned.model.prune_times = prune_times
        cfg.chain.networks.last = None
        return cfg

    return make


def left_of(state):
    """How many channels of each unit are left."""
    return [
        int(mask.sum()) for key, mask in state.items() if key.endswith('mask')
    ]


def run_exported(path, images, tmp_path):
    """The logits of a program in a process with PyTorch alone."""
    torch.save(images, tmp_path / 'images.pt')
    code = ('import sys, torch\n'
            'program, images, logits = sys.argv[1:]\n'
            'run = torch.export.load(program).module()\n'
            'torch.save(run(torch.load(images)), logits)\n'
            "known = {'mmengine', 'mmrazor', 'mmdgkd'} & set(sys.modules)\n"
            "assert not known, known\n")
    subprocess.run([
        sys.executable, '-c', code, path, tmp_path / 'images.pt',
        tmp_path / 'logits.pt'
    ],
                   check=True,
                   cwd=tmp_path)
    return torch.load(tmp_path / 'logits.pt')


@pytest.mark.slow
def test_it_begins_from_another_and_the_l1_norm_chooses(
        pruned_cfg, weights_of, trained_resnet8, built_from_file, tmp_path):
    cfg = pruned_cfg()
    # The weights stay what they were; the statistics of BN do not.
    cfg.chain.networks.resnet8_pruned.stage = dict(
        optim_wrapper=dict(optimizer=dict(lr=0.)), param_scheduler=None)
    runner = ChainRunner(cfg)
    entry = runner.train()['resnet8_pruned']
    assert entry['params'] == 19954
    pruned = weights_of(cfg, 'resnet8_pruned')
    parent = torch.load(trained_resnet8, weights_only=True)['state_dict']
    for name, data in parent.items():
        if name.endswith(('conv1.weight', 'fc.weight')):
            assert torch.equal(data, pruned[f'architecture.{name}'])
    assert left_of(pruned) == [8, 8, 16, 16, 32, 32]
    mask = pruned['mutator.units.1.mutable_channel.mask'].bool()
    norms = parent['backbone.layer1.0.conv1.weight'].abs().sum((1, 2, 3))
    assert norms[mask].min() >= norms[~mask].max()

    facts = export_chain(cfg, runner.chain)
    path = f'{cfg.work_dir}/resnet8_pruned/resnet8_pruned.pt2'
    assert [os.path.basename(file)[:-4]
            for file in facts] == ['resnet8', 'resnet8_pruned']
    assert facts[path].params == 19954 and facts[path].macs == entry['macs']
    images = torch.randint(0, 17, (5, 3, 8, 8), dtype=torch.uint8)
    found = run_exported(path, images, tmp_path)
    # As the network that was tested gives them, all masks and all.
    model = built_from_file(cfg, 'resnet8_pruned')
    with torch.no_grad():
        data = model.data_preprocessor(dict(inputs=list(images)))
        wanted = model(data['inputs'], mode='tensor')
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('key, value, message', [
    ('init_from', 'resnet9', "init_from: 'resnet9' is no network before "
     '"resnet8_pruned"; possible: resnet8'),
    ('ckpt_path', 'a.pth', 'init_from: is given beside ckpt_path'),
    ('model.target_pruning_ratio', None,
     'model.target_pruning_ratio: None; should be a dict of ratios or numbers '
     "of channels that are left, of 'backbone.conv1_"),
    ('model.target_pruning_ratio', dict(head=.5),
     "model.target_pruning_ratio: 'head' is no unit of channels that can be "
     "pruned; there are 'backbone.conv1_"),
    ('model.target_pruning_ratio', {
        UNIT: 1.5
    }, 'should be a ratio, above 0 and at most 1'),
    ('model.prune_times', 3, 'model.prune_times: the last of 3 prunings, one '
     'each 1 epochs, is after epoch 2, the training ends after 2'),
    ('model.prune_times', 0, 'model.prune_times: 0 should be an integer'),
    ('model.step_freq', 0, 'model.step_freq: 0 should be an integer'),
    ('model.mutator_cfg.channel_unit_cfg.default_args', {},
     'target_pruning_ratio: .* 0.5 should be an integer of channels '
     "(a ratio needs default_args=dict(choice_mode='ratio')"),
])
def test_mistakes_are_refused_before_any_training(pruned_cfg, key, value,
                                                  message):
    cfg = pruned_cfg()
    place = cfg.chain.networks.resnet8_pruned
    *path, last = key.split('.')
    for name in path:
        place = place[name]
    # Config merges what it has.
    dict.__setitem__(place, last, value)
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    assert re.search(
        re.escape(message).replace(r'\.\*', '.*'), str(error.value))
    assert str(error.value).startswith('chain.networks.resnet8_pruned.')
    assert '\n' not in str(error.value)
    assert not os.path.exists(cfg.work_dir)


def test_one_epoch_is_counted_in_iterations(pruned_cfg):
    """As MMRazor does: here two, of 64 images in batches of 32."""
    assert ChainRunner(pruned_cfg(1, prune_times=2)).facts
    with pytest.raises(ConfigError, match='after iteration 2, .* after 2;'):
        ChainRunner(pruned_cfg(1, prune_times=3)).facts


def test_a_loss_that_fits_only_before_or_only_after_is_refused(
        pruned_cfg, refused):
    """A feature loss gets the channels that are left."""

    def make(prune_times, channels):
        cfg = pruned_cfg(3, prune_times=prune_times)
        cfg.chain.logit_store = None
        cfg.model.distiller = dict(
            type='mmrazor.MultiTeacherDistiller',
            edges=dict(
                default=dict(
                    student_recorders=dict(
                        maps=dict(
                            type='mmrazor.ModuleOutputs',
                            source='backbone.layer3')),
                    teacher_recorders=dict(
                        maps=dict(
                            type='mmrazor.ModuleOutputs',
                            source='backbone.layer3')),
                    distill_losses=dict(
                        loss_maps=dict(type='mmrazor.L2Loss',
                                       normalize=False)),
                    loss_forward_mappings=dict(
                        loss_maps=dict(
                            s_feature=dict(
                                recorder='maps',
                                from_student=True,
                                connector='wider'),
                            t_feature=dict(
                                recorder='maps', from_student=False))),
                    connectors=dict(
                        wider=dict(
                            type='mmrazor.ConvModuleConnector',
                            in_channel=channels,
                            out_channel=64)))))
        cfg.chain.preflight = True
        return cfg

    assert 'rehearsal: ' in ChainRunner(make(1, 32)).plan()
    refused(make(1, 64), 'loss_maps_resnet8.s_feature')
    # After the first of two prunings there are 48.
    refused(make(2, 32), 'loss_maps_resnet8.s_feature')


def test_derived_masks(pruned_cfg):
    """The head of a plain CNN gets what the last convolution has left."""
    cfg = pruned_cfg(1)
    plain = dict(
        type='ImageClassifier',
        backbone=dict(
            type='PlainCNN', depth=2, variant='cifar100', input_size=8),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=128,
            init_cfg=None))
    pruned = cfg.chain.networks.pop('resnet8_pruned')
    pruned.init_from = None
    pruned.model.architecture = plain
    # Its head takes images of one size only.
    pruned.model.mutator_cfg.parse_cfg.demo_input = (1, 3, 8, 8)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        parent = MODELS.build(plain)
        model = MODELS.build(dict(pruned.model, target_pruning_ratio={}))
    units = model.mutator.choice_template
    assert units
    pruned.model.target_pruning_ratio = dict.fromkeys(units, 0.5)
    cfg.chain.networks = dict(plain2=pruned)
    runner = ChainRunner(cfg)
    ledger = runner.train()
    assert ledger['plain2']['params'] < sum(param.numel()
                                            for param in parent.parameters())
    (facts, ) = export_chain(cfg, runner.chain).values()
    assert facts.params == ledger['plain2']['params']


@pytest.mark.xdist_group('contract_l1')
def test_what_was_pruned_is_not_taken_for_what_was_not(pruned_cfg, tried):
    cfg = tried('l1').cfg
    path = f'{cfg.work_dir}/resnet8_pruned/resnet8_pruned.pth'
    other = pruned_cfg(1)
    other.chain.networks.resnet8.ckpt_path = path
    with pytest.raises(ConfigError, match='of a network that was pruned'):
        ChainRunner(other).train()
    # As a pruned network its file gives its size, not the config.
    other = pruned_cfg(1)
    other.chain.networks.resnet8_pruned.update(init_from=None, ckpt_path=path)
    other.chain.networks.resnet8_pruned.model.target_pruning_ratio[UNIT] = .25
    assert ChainRunner(other).facts['resnet8_pruned'].params == 19954

    other = pruned_cfg(1)
    networks = other.chain.networks
    networks.again = dict(
        init_from='resnet8_pruned', model=networks.resnet8_pruned.model)
    with pytest.raises(
            ConfigError, match='init_from: "resnet8_pruned" is trained by'):
        ChainRunner(other).train()


def test_mistakes_of_an_export(pruned_cfg, trained):
    cfg, runner = trained
    missing = pruned_cfg()
    # Nothing is given, and nothing trained.
    missing.chain.networks.resnet8.ckpt_path = None
    with pytest.raises(ConfigError, match='holds no trained network yet'):
        export_chain(missing, ChainRunner(missing).chain)
    cfg = cfg.copy()
    cfg.test_dataloader = dict(cfg.test_dataloader, dataset=dict(type='No'))
    with pytest.raises(ConfigError, match='test_dataloader.dataset: gives'):
        export_chain(cfg, runner.chain, 'resnet8')
    cfg.test_dataloader = None
    with pytest.raises(ConfigError, match='test_dataloader: is missing'):
        export_chain(cfg, runner.chain, 'resnet8')
