# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Small real chains and made-up records for all tests."""
import gc
import os
import os.path as osp
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, MODELS, DefaultScope

import mmdgkd  # noqa: F401
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.utils.networks import network_cfg

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / 'configs/dgkd/resnet20_to_resnet8_digits.py'

if 'PYTEST_XDIST_WORKER' in os.environ:
    # The workers share the cores; threads that wait for a core that another
    # worker has would more than halve the speed of both.
    os.environ['OMP_NUM_THREADS'] = '1'
    torch.set_num_threads(1)

SAVE_RANKS = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SaveRanks(Hook):
    priority = 'LOWEST'

    def after_train(self, runner):
        torch.save(runner.model.module.state_dict(),
                   f'{runner.work_dir}/rank{runner.rank}.pt')
"""


def pytest_xdist_auto_num_workers(config):
    """How many workers ``-n auto`` is: each needs 2 GB of memory."""
    return min(4, len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(config, items):
    """Have the tests of a file on one worker, unless marked otherwise.

    Of the slow ones those that start processes come first: they take longest,
    and one worker would be left with them at the end.
    """
    if config.option.markexpr == 'slow':
        items.sort(key=lambda item: 'tools' not in item.path.parts)
    for item in items:
        if item.get_closest_marker('xdist_group') is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def shrink(cfg, epochs=1, images=64, batch_size=32):
    """Leave of a config a training of seconds, on some of its images."""
    cfg.train_dataloader.dataset.indices = images
    cfg.train_dataloader.batch_size = batch_size
    cfg.val_dataloader.dataset.indices = images
    cfg.test_dataloader.dataset.indices = images
    cfg.train_cfg.max_epochs = epochs
    cfg.visualizer = None
    return cfg


@pytest.fixture(scope='session', autouse=True)
def unformatted_configs():
    """Leave out the formatting of the configs that Runners write.

    It is half of the time of a tiny chain. What runs in a process of its own
    still has it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **_:
                      (text, True))
        yield


@pytest.fixture(scope='session', autouse=True)
def no_sleep_between_epochs():
    """MMEngine sleeps two seconds between the epochs of its iterator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.loops.time',
                      SimpleNamespace(sleep=lambda _: None))
        yield


@pytest.fixture(scope='session', autouse=True)
def little_garbage_collection():
    """Leave all that was imported to the end of the process.

    To walk through PyTorch and OpenMMLab is a third of a second each time;
    each stage collects garbage as it ends, and MMEngine for every data set,
    which is left out.
    """
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.dataset.base_dataset.gc',
                      SimpleNamespace(collect=lambda: None))
        yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def fresh_message_hub(request):
    """Reset step and seed, which a killed training of another test leaves."""
    MessageHub.get_instance(request.node.nodeid)


@pytest.fixture
def root():
    """The checkout."""
    return ROOT


@pytest.fixture
def tiny_cfg(tmp_path):
    """A function that gives the chain of the digits, small and fresh."""

    def make(epochs=1, config=DIGITS, work_dir='work', **kwargs):
        cfg = shrink(Config.fromfile(str(config)), epochs, **kwargs)
        cfg.work_dir = str(tmp_path / work_dir)
        return cfg

    return make


@pytest.fixture
def digits_cfg():
    """A function that gives a shipped config on the digits, small."""

    def make(config, **kwargs):
        return shrink(
            Config.fromfile(str(ROOT / 'configs' / config)), **kwargs)

    return make


@pytest.fixture(scope='session')
def trained_resnet8(tmp_path_factory):
    """The file of a ResNet-8, trained an epoch on the digits, for teachers."""
    cfg = shrink(Config.fromfile(str(DIGITS)))
    cfg.chain.networks.resnet20 = cfg.chain.networks.resnet14 = None
    cfg.work_dir = str(tmp_path_factory.mktemp('resnet8'))
    runner = ChainRunner(cfg)
    runner.train()
    return runner.work.file_of('resnet8')


@pytest.fixture
def on_digits():
    """A function that leaves an iteration per stage of a shipped config."""

    def replace(cfg, size):
        """Replace the data by digits of the same size, one batch of it.

        It has as many classes as the heads have.
        """
        teacher = next(iter(cfg.chain.networks.values()))
        classes = [
            str(i) for i in range(network_cfg(teacher.model).head.num_classes)
        ]
        for key, split in (('train_dataloader', 'train'),
                           ('val_dataloader', 'test'), ('test_dataloader',
                                                        'test')):
            loader = cfg[key]
            kind = loader.dataset.type
            loader.batch_size = 8
            loader.num_workers = 0
            loader.persistent_workers = False
            loader.dataset = dict(
                type='BatchedDigits' if 'Batched' in kind else 'Digits',
                split=split,
                size=size,
                indices=8,
                metainfo=dict(classes=classes),
                # The digits are in memory.
                pipeline=[
                    step for step in loader.dataset.pipeline
                    if step.type != 'LoadImageFromFile'
                ])
        for network in cfg.chain.networks.values():
            if network is not None and 'model' not in network:
                continue
            if 'NoImages' in str(network and network.get('stage')):
                network.stage.train_dataloader.batch_size = 8
                network.stage.train_dataloader.dataset.length = 8
            if network is not None and 'prune_times' in network.model:
                # One batch is one iteration, in which it is pruned at once.
                network.model.prune_times = 1
            if network is not None and 'DCFF' in network.model.type:
                # It fuses in every epoch, of which it needs more than one.
                network.stage = dict(
                    network.get('stage', {}), train_cfg=dict(max_epochs=2))
            if network is not None and 'GroupFisher' in network.model.type:
                # One iteration is one channel.
                network.model.update(interval=1, target_flops_ratio=.99)
            if network is not None and 'DMCP' in network.model.type:
                # An iteration of the supernet, and one of the subnet.
                network.model.update(search_epochs=1, arch_start_train=0)
                network.stage.train_cfg = dict(max_epochs=2, val_begin=2)
            if network is not None and 'SubnetSPOS' in network.model.type:
                # An iteration before the search, and one after it.
                network.stage.train_cfg = dict(max_epochs=2, val_begin=2)
                network.stage.train_dataloader.dataset.indices = 8
                search = network.stage.custom_hooks[-1]
                search.dataloader.dataset = dict(
                    cfg.val_dataloader.dataset, indices=-8)
                search.update(
                    epoch=1,
                    max_epochs=1,
                    num_candidates=2,
                    top_k=1,
                    num_mutation=1,
                    num_crossover=1)
        if 'loss_crd' in str(cfg.model):
            edge = cfg.model.distiller.edges.default
            edge.distill_losses.loss_crd.update(sample_n=8, neg_num=4)
        cfg.train_cfg.max_epochs = 1
        cfg.visualizer = None

    return replace


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """A trained chain of three networks, two epochs each: (cfg, runner)."""
    cfg = shrink(Config.fromfile(str(DIGITS)), epochs=2)
    cfg.work_dir = str(tmp_path_factory.mktemp('trained'))
    runner = ChainRunner(cfg)
    runner.train()
    return cfg, runner


@pytest.fixture
def run_tool():
    """A function that runs a tool in a process of its own."""

    def run(*words, check=True, **env):
        words = [str(word) for word in words]
        if words[0].endswith('.py'):
            words.insert(0, sys.executable)
        path = os.pathsep.join(
            [osp.dirname(sys.executable),
             os.environ.get('PATH', '')])
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=dict(os.environ, PATH=path, **env),
            capture_output=True,
            text=True)
        if check and done.returncode:
            raise AssertionError(f'{words} exited with {done.returncode}:\n'
                                 f'{done.stdout}\n{done.stderr}')
        return done

    return run


@pytest.fixture
def run_here(monkeypatch, capsys, root):
    """As ``run_tool``, in this process.

    For what trains nothing: a new process takes longer to start than that.
    """

    def run(tool, *words, check=True):
        code, line, limit = 0, '', sys.getrecursionlimit()
        with monkeypatch.context() as patch:
            patch.chdir(root)
            # As Python does; the tool itself finds what is beside it.
            patch.syspath_prepend(str((root / tool).parent))
            patch.setenv('LOCAL_RANK', '0')
            patch.setattr(sys, 'argv', [tool, *map(str, words)])
            capsys.readouterr()
            # As a process has it in which MMRazor has not raised it yet.
            sys.setrecursionlimit(1000)
            try:
                runpy.run_path(str(root / tool), run_name='__main__')
            except SystemExit as stop:
                # A text goes to stderr, and the code is 1.
                code = stop.code or 0
                if isinstance(code, str):
                    code, line = 1, f'{code}\n'
            finally:
                sys.setrecursionlimit(limit)
        output, errors = capsys.readouterr()
        done = SimpleNamespace(
            returncode=code, stdout=output, stderr=errors + line)
        if check and code:
            raise AssertionError(f'{tool} {words} exited with {code}:\n'
                                 f'{done.stdout}\n{done.stderr}')
        return done

    return run


@pytest.fixture
def run_ranks(monkeypatch, tmp_path):
    """A function that trains a chain by two processes.

    They are forked from one that has imported all; modules of the test are
    found in ``tmp_path``.
    """
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(config, work_dir, options=None):
        import _kill_points
        job = _kill_points.Job(str(config), str(work_dir), options or {}, 2)
        assert _kill_points.run(job)

    return run


@HOOKS.register_module(force=True)
class KillOnce(Hook):
    """A kill before a step of the stage of one network."""

    def __init__(self, network, iteration, once):
        self.network, self.iteration, self.once = network, iteration, once

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if (runner.iter == self.iteration and not os.path.exists(self.once)
                and runner.experiment_name.startswith(self.network)):
            open(self.once, 'w').close()
            raise KeyboardInterrupt


@pytest.fixture
def weights_of():
    """A function that gives the state dict of a trained network."""

    def read(cfg, name):
        return torch.load(
            f'{cfg.work_dir}/{name}/{name}.pth',
            weights_only=True)['state_dict']

    return read


@pytest.fixture
def built_from_file(weights_of):
    """A function that makes a trained network of its two files alone."""

    def build(cfg, name):
        alone = Config.fromfile(f'{cfg.work_dir}/{name}/{name}.py')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(alone.model)
        model.load_state_dict(weights_of(cfg, name))
        return model.eval()

    return build


@pytest.fixture
def teacher_as_run():
    """A function that gives a teacher as a trained stage has run it."""

    def build(cfg, stage, name):
        stage = Config.fromfile(f'{cfg.work_dir}/{stage}/config.py')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(stage.model).teachers[name]

    return build


@pytest.fixture
def killed_and_whole(weights_of):
    """A function that trains a chain twice, and gives a network's weights.

    Once it is killed in the stage of that network, before an iteration, and
    resumed.
    """

    def train(whole, torn, name, iteration):
        for cfg in (whole, torn):
            cfg.randomness = dict(seed=0)
        ChainRunner(whole).train()
        once = f'{torn.work_dir}.once'
        stage = torn.chain.networks[name].get('stage') or {}
        kill = dict(
            type='KillOnce', network=name, iteration=iteration, once=once)
        hooks = [*stage.get('custom_hooks', torn.custom_hooks), kill]
        torn.chain.networks[name].stage = dict(stage, custom_hooks=hooks)
        with pytest.raises(KeyboardInterrupt):
            ChainRunner(torn).train()
        torn.resume = True
        ChainRunner(torn).train()
        assert os.path.exists(once)
        return weights_of(whole, name), weights_of(torn, name)

    return train


@pytest.fixture
def states_of_ranks(run_ranks, tmp_path):
    """A function that trains a config by two processes, by default with AMP.

    It gives what each of them has of a network in the end: all of the state,
    that of an algorithm around it and of the training included.
    """

    def run(cfg, name, amp=True):
        (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
        cfg.custom_imports.imports.append('save_ranks')
        hook = dict(type='SaveRanks')
        cfg.custom_hooks.append(hook)
        # A list of the stage's own takes the place of the chain's.
        stage = cfg.chain.networks[name].get('stage', {})
        stage.get('custom_hooks', []).append(hook)
        if amp:
            cfg.optim_wrapper.update(
                type='AmpOptimWrapper', loss_scale='dynamic')
        # A list of networks: MMEngine sorts the keys of a dict that it writes.
        cfg.chain = Chain.from_cfg(cfg.chain).to_cfg()
        cfg.dump(tmp_path / 'chain.py')
        run_ranks(tmp_path / 'chain.py', tmp_path / 'work')
        return [
            torch.load(
                tmp_path / 'work' / name / f'rank{rank}.pt',
                weights_only=False) for rank in (0, 1)
        ]

    return run
