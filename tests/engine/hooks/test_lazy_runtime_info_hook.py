# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner


class CountReads(Hook):
    """Counts how often values are read off the device, per iteration."""

    priority = 'HIGHEST'

    def __init__(self, monkeypatch):
        self.reads = 0
        self.per_iter = []
        for method in ('item', 'tolist', '__float__', '__int__', '__bool__'):
            original = getattr(torch.Tensor, method)

            def counted(tensor, *args, _original=original):
                # The data preprocessor reads the shapes, on the CPU.
                self.reads += tensor.is_floating_point()
                return _original(tensor, *args)

            monkeypatch.setattr(torch.Tensor, method, counted)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.reads = 0


class EndOfIter(Hook):
    priority = 'LOWEST'

    def __init__(self, counter):
        self.counter = counter

    def after_train_iter(self,
                         runner,
                         batch_idx,
                         data_batch=None,
                         outputs=None):
        self.counter.per_iter.append(self.counter.reads)


@pytest.fixture
def stage(trained, tmp_path):
    """The last stage of a trained chain: 6 iterations, logged each third."""
    cfg = Config.fromfile(
        osp.join(trained[0].work_dir, 'resnet8', 'config.py'))
    cfg.work_dir = str(tmp_path)
    cfg.train_dataloader.batch_size = 10
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger.interval = 3
    # On the CPU, where that is no waiting, it reads its flag in each step.
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks
        if hook.type != 'mmrazor.FiniteLossHook'
    ]
    return cfg


def history(cfg, hook, name):
    cfg = Config(cfg.to_dict())
    cfg.default_hooks.runtime_info = dict(type=hook)
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {
        key: buffer.data[0].tolist()
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith('train/') and 'time' not in key
    }


def test_the_history_is_mmengines(stage):
    lazy = history(stage, 'mmrazor.LazyRuntimeInfoHook', 'lazy')
    eager = history(stage, 'RuntimeInfoHook', 'eager')
    assert lazy == eager
    assert len(lazy['train/distill.kd.resnet20']) == 7  # 64 images by 10


def reads_per_iter(cfg, hook, monkeypatch):
    cfg = Config(cfg.to_dict())
    cfg.default_hooks.runtime_info = dict(type=hook)
    cfg.experiment_name = f'reads_{hook}'
    runner = Runner.from_cfg(cfg)
    counter = CountReads(monkeypatch)
    runner.register_hook(counter, 'HIGHEST')
    runner.register_hook(EndOfIter(counter), 'LOWEST')
    runner.train()
    return counter.per_iter


def test_nothing_is_read_between_logs(stage, monkeypatch):
    reads = reads_per_iter(stage, 'mmrazor.LazyRuntimeInfoHook', monkeypatch)
    logged = [2, 5, 6]
    assert len(reads) == 7
    for i, count in enumerate(reads):
        assert (count > 0) == (i in logged), reads


def test_mmengines_own_reads_in_each_step(stage, monkeypatch):
    """Without the hook: every value, every iteration."""
    assert min(reads_per_iter(stage, 'RuntimeInfoHook', monkeypatch)) >= 5
