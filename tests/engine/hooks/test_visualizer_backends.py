# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""TensorBoard's files of real chains, and the settings of WandB."""
import contextlib
import glob
import importlib.util
import os.path as osp
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.visualization import TensorboardVisBackend

from mmdgkd import TrainingStopped
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.training_settings import fingerprint
from mmdgkd.engine.hooks.stop_hook import StopHook
from mmdgkd.engine.hooks.visualizer_backends import name_runs, watched

NAMES = ('resnet20', 'resnet14', 'resnet8')
# As the config's line.
TENSORBOARD = dict(
    type='UniversalVisualizer',
    name='visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend')
    ])
needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec('tensorboard') is None,
    reason='needs tensorboard: pip install -e ".[tensorboard]"')


def watched_cfg(make, visualizer, epochs=2):
    cfg = make(epochs, batch_size=16)
    cfg.visualizer = visualizer
    cfg.default_hooks.logger.interval = 2
    return cfg


def runs_of(work_dir):
    """What ``tensorboard --logdir WORK_DIR`` shows: scalars by run and tag."""
    from tensorboard.backend.event_processing.event_multiplexer import \
        EventMultiplexer
    found = EventMultiplexer().AddRunsFromDirectory(work_dir)
    found.Reload()
    return {
        run: {
            tag: [(event.step, event.value)
                  for event in found.Scalars(run, tag)]
            for tag in tags['scalars']
        }
        for run, tags in found.Runs().items()
    }


@needs_tensorboard
def test_tensorboard_has_a_run_per_stage(tiny_cfg):
    cfg = watched_cfg(tiny_cfg, TENSORBOARD)
    ledger = ChainRunner(cfg).train()
    ChainRunner(cfg).test()
    runs = runs_of(cfg.work_dir)
    assert set(runs) == set(NAMES)
    for i, name in enumerate(NAMES):
        scalars = runs[name]
        assert {'loss', 'lr', 'epoch', 'time'} <= set(scalars)
        # Each teacher's term, in each log, over the iterations of the stage.
        terms = {tag for tag in scalars if tag.startswith('distill.kd.')}
        assert terms == {f'distill.kd.{teacher}' for teacher in NAMES[:i]}
        for tag in ('loss', *terms):
            assert [step for step, _ in scalars[tag]] == [2, 4, 6, 8]
        # Over the epochs, as MMEngine does it.
        history = ledger[name]['metric']['history']
        assert [step for step, _ in scalars['accuracy/top1']] == [1, 2]
        for (_, value), (_, noted) in zip(scalars['accuracy/top1'], history):
            assert abs(value - noted) < 1e-3
        # Beside it MMEngine's own, of this stage alone.
        path, = glob.glob(
            osp.join(cfg.work_dir, name, '2*', 'vis_data', 'scalars.json'))
        with open(path) as file:
            assert len(file.readlines()) == 6
    # A stage's own config can be run elsewhere.
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    assert stage.visualizer.vis_backends == TENSORBOARD['vis_backends']


@needs_tensorboard
def test_a_stopped_stage_goes_on_in_its_run(tiny_cfg, monkeypatch):
    cfg = watched_cfg(tiny_cfg, TENSORBOARD)
    cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
    stop = StopHook.after_train_iter

    def at_last(self, runner, *args, **kwargs):
        if runner.iter == 6:
            raise KeyboardInterrupt
        stop(self, runner, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopHook, 'after_train_iter', at_last)
        closed = []
        close = TensorboardVisBackend.close

        def noted(backend):
            closed.append(backend._save_dir)
            close(backend)

        patch.setattr(TensorboardVisBackend, 'close', noted)
        with pytest.raises(KeyboardInterrupt):
            ChainRunner(cfg).train()
        assert closed == [osp.join(cfg.work_dir, 'resnet8')]
    # What was written is there, though nothing has come to its end.
    before = runs_of(cfg.work_dir)['resnet8']
    assert [step for step, _ in before['loss']] == [2, 4, 6]
    cfg.resume = True
    ChainRunner(cfg).train()
    runs = runs_of(cfg.work_dir)
    assert set(runs) == {'resnet8'}
    # It goes on after the checkpoint of the first epoch.
    scalars = runs['resnet8']
    assert [step for step, _ in scalars['loss']] == [2, 4, 6, 8]
    assert [step for step, _ in scalars['accuracy/top1']] == [1, 2]
    assert dict(scalars['loss'])[6] == dict(before['loss'])[6]


@pytest.mark.parametrize('kind, package',
                         [('TensorboardVisBackend', 'tensorboard'),
                          ('WandbVisBackend', 'wandb')])
def test_a_missing_package(tiny_cfg, refused, monkeypatch, kind, package):
    real = importlib.util.find_spec
    monkeypatch.setattr('mmdgkd.engine.hooks.visualizer_backends.find_spec',
                        lambda name: None if name == package else real(name))
    cfg = watched_cfg(tiny_cfg,
                      dict(TENSORBOARD, vis_backends=dict(type=kind)))
    refused(
        cfg, r'^visualizer\.vis_backends: .*"resnet20": '
        f'{kind} needs .*; pip install {package}$')


@pytest.mark.parametrize('visualizer, match', [
    (dict(type='Universal'), '^visualizer: .*there is no Universal$'),
    (dict(type=''), '^visualizer: .*there is no type$'),
    (dict(TENSORBOARD, vis_backends=[dict(type='Tensorboard')]),
     r'^visualizer\.vis_backends: .*there is no Tensorboard$'),
    (dict(TENSORBOARD, vis_backends=['TensorboardVisBackend']),
     r"^visualizer\.vis_backends\[0\]: 'TensorboardVisBackend' must be a dict"
     ),
])
def test_mistakes(tiny_cfg, refused, visualizer, match):
    refused(watched_cfg(tiny_cfg, visualizer), match)


def test_they_do_not_keep_a_work_dir_from_resuming(tiny_cfg):
    cfg = tiny_cfg()
    before = fingerprint(ChainRunner(cfg).work.stage_config('resnet8'))
    cfg.visualizer = TENSORBOARD
    assert fingerprint(ChainRunner(cfg).work.stage_config('resnet8')) == before


def wandb_cfg(**kwargs):
    return Config(
        dict(
            work_dir='there/resnet8',
            visualizer=dict(
                vis_backends=[dict(type='WandbVisBackend', **kwargs)])))


def test_names_in_wandb(monkeypatch):
    monkeypatch.delenv('WANDB_RUN_GROUP', raising=False)
    cfg = wandb_cfg()
    noted = name_runs(cfg, 'resnet8', 'digits', {})
    backend, = cfg.visualizer.vis_backends
    assert backend.init_kwargs == dict(
        name='resnet8',
        group='digits',
        id=noted['wandb_id'],
        resume='allow',
        allow_val_change=True)
    assert backend.define_metric_cfg[1] == dict(name='*', step_metric='iter')
    # Resumed, it is the same run; begun anew, it is another.
    assert name_runs(wandb_cfg(), 'resnet8', 'digits', noted) == noted
    assert name_runs(wandb_cfg(), 'resnet8', 'digits', {}) != noted
    assert name_runs(Config(dict(work_dir='there')), 'resnet8', '', {}) == {}


def test_the_config_and_the_environment_win(monkeypatch):
    monkeypatch.setenv('WANDB_RUN_GROUP', 'mine')
    cfg = wandb_cfg(
        init_kwargs=dict(name='own', project='p', resume='must'),
        define_metric_cfg=dict(loss='min'))
    name_runs(cfg, 'resnet8', 'digits', {})
    backend, = cfg.visualizer.vis_backends
    assert backend.init_kwargs.name == 'own'
    assert backend.init_kwargs.project == 'p'
    assert backend.init_kwargs.resume == 'must'
    assert backend.init_kwargs.group == 'mine'
    assert backend.define_metric_cfg == dict(loss='min')


@pytest.mark.parametrize('error, code', [(None, None), (OSError(), 1),
                                         (TrainingStopped(), 75)])
def test_wandb_gets_the_exit_code(error, code):
    closed, codes = [], []
    wandb = SimpleNamespace(
        _wandb=None, experiment=SimpleNamespace(finish=codes.append))
    runner = SimpleNamespace(
        hooks=[],
        visualizer=SimpleNamespace(
            _vis_backends=dict(wandb=wandb, local=SimpleNamespace()),
            close=lambda: closed.append(True)))
    with contextlib.nullcontext() if error is None else pytest.raises(
            type(error)):
        with watched(runner):
            if error:
                raise error
    assert codes == [code] * (error is not None) and closed == [True]
