# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import multiprocessing
import time

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdgkd.engine import Chain
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
