# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import io
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.engine.hooks.stop_hook import StopHook
from mmdgkd.engine.runner_cleanup import clean_up


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
    clean_up(runner)
    assert time.monotonic() - start < 4
    assert not multiprocessing.active_children()


@pytest.mark.parametrize('error', [None, OSError])
def test_a_run_of_the_same_second_has_its_own_files(tiny_cfg, monkeypatch,
                                                    error):
    monkeypatch.setattr(
        'mmengine.runner.runner.time',
        SimpleNamespace(
            time=lambda: 1e9, localtime=time.localtime,
            strftime=time.strftime))

    def train(work_dir):
        cfg = tiny_cfg(work_dir=work_dir)
        cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
        cfg.default_hooks.logger.interval = 1
        cfg.visualizer = dict(
            type='UniversalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            ChainRunner(cfg).train()
        return Path(cfg.work_dir), printed.getvalue()

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        if error:
            patch.setattr(StopHook, 'after_train_iter', fail)
        with pytest.raises(error) if error else contextlib.nullcontext():
            train('first')
    work_dir, printed = train('second')
    step = 'Epoch(train) [1][2/2]'
    assert step in printed
    log, = work_dir.glob('resnet8/2*/*.log')
    assert step in log.read_text()
    curves, = work_dir.glob('resnet8/2*/vis_data/scalars.json')
    assert curves.read_text().count('"step": 2') == 1


def test_chains_have_logs_of_their_own(tiny_cfg, monkeypatch):
    # As if the second were where the first was.
    monkeypatch.setattr('mmdgkd.chain.runner.id', lambda _: 1, raising=False)
    for work_dir in ('first', 'second'):
        chain = ChainRunner(tiny_cfg(work_dir=work_dir))
        chain.work.make()
        chain.log(f'this is the {work_dir}')
        log = Path(chain.work.path, 'chain.log').read_text()
        assert log.endswith(f'this is the {work_dir}\n')
