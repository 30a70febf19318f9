# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.device import get_device
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.hooks.fast_network_hook import FastNetworkHook
from mmdgkd.models.utils.networks import compile_network


def weights(cfg, name):
    path = os.path.join(cfg.work_dir, name, f'{name}.pth')
    return torch.load(path, weights_only=True)['state_dict']


def train(cfg, **options):
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if 'FastNetwork' not in hook.type
    ]
    if options:
        cfg.custom_hooks.append(
            dict(type='mmrazor.FastNetworkHook', **options))
    cfg.chain.networks = {
        name: cfg.chain.networks[name]
        for name in ('resnet14', 'resnet8')
    }
    ChainRunner(cfg).train()
    return cfg


def assert_close(first, second, bound):
    """Compare networks trained with and without teachers."""
    for name in ('resnet14', 'resnet8'):
        a, b = weights(first, name), weights(second, name)
        assert list(a) == list(b)
        for key, value in a.items():
            assert b[key].is_contiguous()
            if value.is_floating_point():
                share = (value - b[key]).abs().max() / max(
                    value.abs().max(), 1)
                assert share <= bound, (name, key)


def test_channels_last(tiny_cfg):
    """The same training but for the order of summation."""
    usual = train(tiny_cfg(work_dir='usual'))
    fast = train(tiny_cfg(work_dir='fast'), channels_last=True)
    # Two steps of training add to what rounding does; how much depends on the
    # machine and its threads (5.7e-5 with one thread).
    assert_close(usual, fast, 1e-3)
    checkpoint = torch.load(
        os.path.join(fast.work_dir, 'resnet8', 'epoch_1.pth'),
        weights_only=False)
    kernel = checkpoint['state_dict']['architecture.backbone.conv1.weight']
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()


def test_data_is_sent_without_waiting(monkeypatch):
    """And, on the CPU, freed memory is kept."""
    kept = []
    monkeypatch.setattr(
        'mmdgkd.engine.hooks.fast_network_hook.keep_freed_memory',
        lambda: kept.append(1))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet_CIFAR', depth=18),
                data_preprocessor=dict(mean=[0], std=[1])))
    asked = []

    class Images(torch.Tensor):

        def to(self, *args, non_blocking=False):
            asked.append(non_blocking)
            return torch.zeros(1, 2, 2)

    images = [torch.zeros(1, 2, 2).as_subclass(Images)]
    FastNetworkHook().before_train(SimpleNamespace(model=model))
    model.data_preprocessor(dict(inputs=images))
    assert asked == [True]
    assert len(kept) == (get_device() == 'cpu')


@pytest.mark.slow
@pytest.mark.parametrize('mode', [None, 'reduce-overhead'])
def test_compiled(tiny_cfg, monkeypatch, mode):
    """Traced and differentiated as ever, but by no C++ compiler."""
    compiled, compile_, marks = [], nn.Module.compile, []

    def compile_quickly(module, mode, dynamic):
        compiled.append(mode)
        compile_(module, backend='aot_eager', dynamic=dynamic)

    monkeypatch.setattr(nn.Module, 'compile', compile_quickly)
    monkeypatch.setattr(torch.compiler, 'cudagraph_mark_step_begin',
                        lambda: marks.append(1))
    usual = train(tiny_cfg(work_dir='usual'))
    fast = train(
        tiny_cfg(work_dir='fast'), channels_last=True, compile=mode or True)
    # The backbones and necks of two networks.
    assert compiled == [mode] * 4
    assert_close(usual, fast, 1e-3)
    # Two steps of training and one of validation of each.
    assert len(marks) == (6 if mode else 0)


@pytest.mark.slow
def test_a_batch_of_another_size_changes_no_program():
    """By one for all sizes a resumed run would have other bits."""
    network = nn.Module()
    network.backbone = nn.Linear(3, 3)
    seen = []

    def backend(graph, inputs):
        number = len(seen)
        seen.append(number)
        return lambda *args: calls.append(number) or graph(*args)

    calls, compile_ = [], nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            nn.Module, 'compile', lambda module, **kwargs: compile_(
                module, backend=backend, **dict(kwargs, mode=None)))
        compile_network(network, 'key')
    for size in (8, 8, 5, 8, 5, 8):
        network.backbone(torch.zeros(size, 3))
    assert calls == [0, 0, 1, 0, 1, 0]


def test_graphs_and_gradients_that_are_accumulated(tiny_cfg, refused):
    cfg = tiny_cfg()
    cfg.custom_hooks[1].compile = 'reduce-overhead'
    cfg.optim_wrapper.accumulative_counts = 2
    refused(
        cfg, "custom_hooks.FastNetworkHook.compile: 'reduce-overhead' records "
        'CUDA graphs, which write over gradients that are accumulated')


def test_a_mode_that_is_none(tiny_cfg, refused):
    cfg = tiny_cfg()
    cfg.custom_hooks[1].compile = 'fast'
    refused(
        cfg, r'custom_hooks.FastNetworkHook.compile: \'fast\' is no mode '
        'of torch.compile: default, .*reduce-overhead')


@pytest.mark.slow
def test_several_ranks_train_the_same_in_both_formats(tmp_path, fork_ranks):
    """DDP scatters gradients if the format changes after it was made."""
    weights = []
    for channels_last in (True, False):
        fork_ranks('tools/train.py', 'tests/configs/survivor.py', '--work-dir',
                   tmp_path / str(channels_last), '--stage', 'resnet20',
                   '--cfg-options',
                   f'custom_hooks.1.channels_last={channels_last}',
                   'train_cfg.max_epochs=1')
        path = tmp_path / str(channels_last) / 'resnet20' / 'resnet20.pth'
        weights.append(torch.load(path)['state_dict'])
    for key, value in weights[0].items():
        assert torch.allclose(value, weights[1][key], atol=1e-4), key
