# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""TensorBoard and WandB: what they really hold of real chains."""
import glob
import importlib.util
import json
import os
import os.path as osp
import struct

import pytest
from mmengine.config import Config
from mmengine.visualization import TensorboardVisBackend

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import fingerprint
from mmdgkd.engine.hooks.stop_hook import StopHook
from mmdgkd.engine.hooks.visualizer_backends import name_runs

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
needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec('wandb') is None,
    reason='needs wandb: pip install -e ".[wandb]"')


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
def test_a_missing_package(tiny_cfg, monkeypatch, kind, package):
    real = importlib.util.find_spec
    monkeypatch.setattr('mmdgkd.engine.hooks.visualizer_backends.find_spec',
                        lambda name: None if name == package else real(name))
    cfg = watched_cfg(tiny_cfg,
                      dict(TENSORBOARD, vis_backends=dict(type=kind)))
    with pytest.raises(
            ConfigError,
            match=r'^visualizer\.vis_backends: .*"resnet20": '
            f'{kind} needs .*; pip install {package}$'):
        ChainRunner(cfg).train()
    assert not osp.exists(cfg.work_dir)


@pytest.mark.parametrize('visualizer, match', [
    (dict(type='Universal'), '^visualizer: .*there is no Universal$'),
    (dict(TENSORBOARD, vis_backends=[dict(type='Tensorboard')]),
     r'^visualizer\.vis_backends: .*there is no Tensorboard$'),
    (dict(TENSORBOARD, vis_backends=['TensorboardVisBackend']),
     r"^visualizer\.vis_backends: .*'TensorboardVisBackend' must be a dict"),
])
def test_mistakes(tiny_cfg, visualizer, match):
    with pytest.raises(ConfigError, match=match):
        ChainRunner(watched_cfg(tiny_cfg, visualizer)).plan()


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


def leveldb_records(path):
    """The records of a log of LevelDB behind WandB's header of 7 bytes."""
    with open(path, 'rb') as file:
        data = file.read()
    at, record = 7, b''
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768  # too small for a header
        length, kind = struct.unpack('<HB', data[at + 4:at + 7])
        record += data[at + 7:at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b''


def wandb_runs(work_dir):
    """What WandB has written in offline mode: by run its records."""
    from wandb.proto.wandb_internal_pb2 import Record
    runs = []
    for path in sorted(
            glob.glob(
                osp.join(work_dir, '*', '2*', 'vis_data', 'wandb', 'offline-*',
                         '*.wandb')),
            key=os.path.getmtime):
        run = dict(scalars=[], metrics=[])
        for data in leveldb_records(path):
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof('record_type')
            if kind == 'run':
                run['run'] = record.run
            elif kind == 'exit':
                run['exit'] = record.exit.exit_code
            elif kind == 'metric':
                run['metrics'].append(record.metric)
            elif kind == 'history':
                run['scalars'].append({
                    item.key or '/'.join(item.nested_key):
                    json.loads(item.value_json)
                    for item in record.history.item
                })
        runs.append(run)
    return runs


@needs_wandb
def test_wandb_has_a_run_per_stage(tiny_cfg, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    monkeypatch.delenv('WANDB_RUN_GROUP', raising=False)
    cfg = watched_cfg(
        tiny_cfg,
        dict(TENSORBOARD, vis_backends=[dict(type='WandbVisBackend')]))
    cfg.chain.networks.resnet14 = None
    stop = StopHook.after_train_iter

    def at_last(self, runner, *args, **kwargs):
        if runner.iter == 6 and runner.cfg.experiment_name == 'resnet8':
            raise KeyboardInterrupt
        stop(self, runner, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopHook, 'after_train_iter', at_last)
        with pytest.raises(KeyboardInterrupt):
            ChainRunner(cfg).train()
    cfg.resume = True
    ledger = ChainRunner(cfg).train()
    runs = wandb_runs(cfg.work_dir)
    assert [run['run'].display_name
            for run in runs] == ['resnet20', 'resnet8', 'resnet8']
    assert {run['run'].run_group for run in runs} == {'work'}
    assert [run['run'].run_id for run in runs] == [
        ledger['resnet20']['wandb_id'], ledger['resnet8']['wandb_id'],
        ledger['resnet8']['wandb_id']
    ]
    assert ledger['resnet20']['wandb_id'] != ledger['resnet8']['wandb_id']
    assert [run['exit'] for run in runs] == [0, 1, 0]
    steps = [[row['iter'] for row in run['scalars'] if 'loss' in row]
             for run in runs]
    assert steps == [[2, 4, 6, 8], [2, 4, 6], [6, 8]]
    assert all('distill.kd.resnet20' in row for row in runs[2]['scalars']
               if 'loss' in row)
    assert any('accuracy/top1' in row for row in runs[2]['scalars'])
    assert any(metric.step_metric == 'iter' for metric in runs[0]['metrics'])
