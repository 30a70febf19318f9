# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdgkd.engine import Chain, ChainRunner, StopHook
from mmdgkd.engine.stage_config import stage_config
from mmdgkd.engine.workers import release


@pytest.mark.parametrize('by_epoch', [True, False])
def test_workers_end_at_once(tiny_cfg, by_epoch):
    cfg = tiny_cfg()
    for key in ('train_dataloader', 'val_dataloader'):
        cfg[key].update(num_workers=2, persistent_workers=True)
    if not by_epoch:
        cfg.train_cfg = dict(by_epoch=False, max_iters=2, val_interval=1)
        cfg.param_scheduler = None
        cfg.default_hooks.checkpoint.by_epoch = False
    stage = stage_config(cfg, Chain.from_cfg(cfg.chain), 'resnet20', {},
                         cfg.work_dir)
    runner = Runner.from_cfg(Config(stage.to_dict()))
    runner.train()
    assert len(multiprocessing.active_children()) >= 2
    start = time.monotonic()
    release(runner)
    assert time.monotonic() - start < 4
    assert not multiprocessing.active_children()


@pytest.mark.parametrize('error', [None, OSError])
def test_a_run_of_the_same_second_has_its_own_log(tiny_cfg, monkeypatch,
                                                  capsys, error):
    monkeypatch.setattr(
        'mmengine.runner.runner.time',
        SimpleNamespace(
            time=lambda: 1e9, localtime=time.localtime,
            strftime=time.strftime))

    def train(work_dir):
        cfg = tiny_cfg(work_dir=work_dir)
        cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
        cfg.default_hooks.logger.interval = 1
        ChainRunner(cfg).train()
        return Path(cfg.work_dir)

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        if error:
            patch.setattr(StopHook, 'after_train_iter', fail)
        with pytest.raises(error) if error else contextlib.nullcontext():
            train('first')
    capsys.readouterr()
    work_dir = train('second')
    step = 'Epoch(train) [1][2/2]'
    assert step in capsys.readouterr().out
    log, = work_dir.glob('resnet8/2*/*.log')
    assert step in log.read_text()
    assert str(work_dir) in (work_dir / 'chain.log').read_text()
