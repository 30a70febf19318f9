# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The real images, for tools that train on them."""
import runpy
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmdgkd.chain.chain import Chain

ARCHIVE = (
    Path(__file__).resolve().parents[3] / 'shared' / 'data' /
    'cifar-100-python.tar.xz')
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


@pytest.fixture(scope='session')
def cifar100(tmp_path_factory):
    """The folder of the official CIFAR-100 files."""
    if not ARCHIVE.exists():
        pytest.skip('the official CIFAR-100 files are not in '
                    f'{ARCHIVE.parent}')
    folder = tmp_path_factory.mktemp('cifar100')
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter='data')
    return folder


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
                # A text is said on stderr, and the code is 1.
                code = stop.code or 0
                if isinstance(code, str):
                    code, line = 1, f'{code}\n'
            finally:
                sys.setrecursionlimit(limit)
        said, errors = capsys.readouterr()
        done = SimpleNamespace(
            returncode=code, stdout=said, stderr=errors + line)
        if check and code:
            raise AssertionError(f'{tool} {words} exited with {code}:\n'
                                 f'{done.stdout}\n{done.stderr}')
        return done

    return run


@pytest.fixture
def states_of_ranks(run_ranks, tmp_path):
    """A function that trains a config by two processes with AMP.

    It gives what each of them has of a network in the end: all of the state,
    that of an algorithm around it and of the training included.
    """

    def run(cfg, name):
        (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
        cfg.custom_imports.imports.append('save_ranks')
        hook = dict(type='SaveRanks')
        cfg.custom_hooks.append(hook)
        # A list of the stage's own takes the place of the chain's.
        stage = cfg.chain.networks[name].get('stage', {})
        stage.get('custom_hooks', []).append(hook)
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
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
