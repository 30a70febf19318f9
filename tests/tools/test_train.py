# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command line, as a user types it."""
import json
import os
import os.path as osp
import re
import signal
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdgkd.logit_store.inventory import list_store
from mmdgkd_cli.common import load_config

CONFIG = 'configs/dgkd/resnet20_to_resnet8_digits.py'
SMALL = [
    '--cfg-options', 'train_cfg.max_epochs=2',
    'train_dataloader.dataset.indices=64', 'val_dataloader.dataset.indices=64',
    'chain.preflight=False'
]


def log_of(work_dir, name):
    """The text of the logs of a stage."""
    logs = sorted((work_dir / name).glob('*/*.log'))
    return '\n'.join(log.read_text() for log in logs)


def states(work_dir):
    try:
        with open(osp.join(work_dir, 'chain.json')) as file:
            stages = json.load(file)['stages']
    except FileNotFoundError:
        return {}
    return {name: entry['state'] for name, entry in stages.items()}


def test_dry_run_prints_the_plan_and_writes_nothing(run_here, tmp_path):
    done = run_here('tools/train.py', CONFIG, '--dry-run', '--work-dir',
                    tmp_path / 'w')
    for word in ('1 resnet20', 'resnet20, resnet14', '78,042', '0.8 M',
                 '20 epochs', 'pending'):
        assert word in done.stdout
    assert not (tmp_path / 'w').exists()


def test_dry_run_prints_what_is_done(run_here, trained):
    as_run = osp.join(trained[0].work_dir, 'config.py')
    done = run_here('tools/train.py', as_run, '--dry-run')
    assert done.stdout.count('done') == 3
    done = run_here(
        'tools/train.py',
        as_run,
        '--dry-run',
        '--cfg-options',
        'train_dataloader.batch_size=8',
        check=False)
    assert 'train_dataloader.batch_size was 32, is 8' in done.stderr


TINY = [
    '--cfg-options', 'train_cfg.max_epochs=1', 'chain.networks.resnet14=None',
    'train_dataloader.dataset.indices=64', 'val_dataloader.dataset.indices=64',
    'chain.preflight=False'
]


def test_a_chain_prints_a_line_a_stage_and_logs_the_rest(run_here, tmp_path):
    done = run_here('tools/train.py', CONFIG, '--work-dir', tmp_path, *TINY,
                    'chain.preflight=True')
    assert not done.stderr
    lines = done.stdout.splitlines()
    stages = [line for line in lines if line.startswith('stage ')]
    assert len(stages) == 2
    assert re.fullmatch(
        r'stage 1/2 resnet20: accuracy/top1 \d+\.\d\d, \d+\.\d s, '
        r'chain ETA \d:\d\d:\d\d', stages[0])
    assert re.fullmatch(
        r'stage 2/2 resnet8: accuracy/top1 \d+\.\d\d, \d+\.\d s', stages[1])
    # Beside them only the tables, and lines of logit store and rehearsal.
    assert all(
        line.startswith(('The chain in ', '+', '| ', 'logit store: ',
                         'warning: param_scheduler: ',
                         'rehearsal: 2 stages of 2 steps', 'stage'))
        for line in lines)
    chain_log = (tmp_path / 'chain.log').read_text()
    assert 'DEBUG' not in chain_log
    assert all(line in chain_log for line in lines)
    log = log_of(tmp_path, 'resnet8')
    for what in ('System environment', 'Config:', 'Hooks will be executed',
                 'Epoch(val) [1]', 'chain ETA', 'resnet20'):
        assert what in log, what


def test_verbose_prints_the_logs_of_the_stages(run_here, tmp_path):
    done = run_here('tools/train.py', CONFIG, '-v', '--stage', 'resnet20',
                    '--work-dir', tmp_path, *TINY)
    for what in ('System environment', 'Config:', 'Epoch(val) [1]',
                 'stage 1/2 resnet20: accuracy/top1 '):
        assert what in done.stdout, what


def test_warnings_of_others_are_logged_and_those_of_a_user_printed(
        run_here, recwarn, root, tmp_path):
    """A user's own code, and PyTorch's, warn as the training begins."""
    (tmp_path / 'warning_hook.py').write_text(WARNING_HOOK)
    config = tmp_path / 'chain.py'
    config.write_text(f'_base_ = {str(root / CONFIG)!r}\n'
                      "custom_imports = dict(imports=['mmdgkd', "
                      "'warning_hook'])\n"
                      "custom_hooks = [dict(type='WarningHook')]\n")
    sys.path.insert(0, str(tmp_path))
    try:
        done = run_here('tools/train.py', config, '--stage', 'resnet20',
                        '--work-dir', tmp_path / 'w', *TINY)
    finally:
        sys.path.remove(str(tmp_path))
    printed = [str(warning.message) for warning in recwarn]
    assert 'of a user' in printed and 'of torch' not in printed
    assert 'logged warning' in done.stdout
    log = log_of(tmp_path / 'w', 'resnet20')
    assert 'of torch' in log and 'logged warning' in log


WARNING_HOOK = """
import warnings
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class WarningHook(Hook):

    def before_train(self, runner):
        warnings.warn('of a user')
        warnings.warn_explicit('of torch', UserWarning, torch.__file__, 1)
        runner.logger.warning('logged warning')
"""


@pytest.mark.parametrize('words, message', [
    (['configs/none.py'], "config: there is no file 'configs/none.py'"),
    ([CONFIG, '--cfg-options', 'chain.guidance.resnet8=resnet20'
      ], 'error: config: '),
    ([CONFIG, '--stage', 'x'], '--stage: "x" is no network of this chain'),
    ([CONFIG, '--guidance', 'direct', '--stage', 'resnet8'
      ], 'needs its teacher "resnet20"'),
    ([CONFIG, '--cfg-options', 'chain.networks.resnet14.ckpt_path=no.pth'
      ], "ckpt_path: there is no file 'no.pth'"),
    ([CONFIG, '--cfg-options', 'chain.guidance=densely'
      ], "chain.guidance: 'densely' is none of"),
    ([CONFIG, '--cfg-options', "chain.guidance={'a': ['b'], 'c': ['b', 'd']}"],
     "\"chain.guidance={'a': ['b'], 'c': ['b', 'd']}\" should be key=value"),
    ([CONFIG, '--cfg-options', 'train_cfg.max_epochs'
      ], "--cfg-options: 'train_cfg.max_epochs' should be key=value"),
])
def test_mistakes_get_one_line(run_here, tmp_path, words, message):
    done = run_here(
        'tools/train.py', *words, '--work-dir', tmp_path / 'w', check=False)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ')
    assert message in lines[0]
    assert not (tmp_path / 'w').exists()


def test_a_syntax_error_is_one_line_too(run_here, tmp_path):
    """Such as two networks of one name in one dict()."""
    config = tmp_path / 'twice.py'
    config.write_text('chain = dict(networks=dict(a=1, a=2))')
    done = run_here('tools/train.py', config, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith('error: config: ')
    assert 'keyword argument repeated: a' in done.stderr


USER_CODE = """
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
class Unreadable(BaseTransform):

    def transform(self, results):
        if results['sample_idx'] == 7:
            raise OSError('cannot read image_7.png')
        return results

@HOOKS.register_module(force=True)
class Failing(Hook):

    def after_train_epoch(self, runner):
        raise KeyError('no such metric')
"""


@pytest.fixture
def users_config(root, tmp_path):
    """A function that gives a config with a user's own code in it."""

    def write(extra):
        (tmp_path / 'user_code.py').write_text(USER_CODE)
        config = tmp_path / 'chain.py'
        config.write_text(
            f'_base_ = {str(root / CONFIG)!r}\n'
            f"custom_imports = dict(imports=['mmdgkd', 'user_code'])\n{extra}")
        return config, '--work-dir', tmp_path / 'w', *TINY

    return write


def assert_one_line(text, start, work_dir):
    found = text.strip().splitlines()[-1]
    assert found.startswith(f'error: stage "resnet20": {start}; the traceback')
    file = found.split(' the traceback is in ')[1]
    assert 'Traceback' in Path(file).read_text()
    os.remove(file)
    assert states(work_dir)['resnet20'] == 'running'


def test_anything_else_that_is_raised_is_one_line(run_here, users_config,
                                                  monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    words = users_config("custom_hooks = [dict(type='Failing')]")
    done = run_here('tools/train.py', *words, check=False)
    assert done.returncode == 3 and done.stderr.count('\n') == 1
    assert_one_line(done.stderr, "KeyError: 'no such metric'", tmp_path / 'w')


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_one_line(run_tool, users_config,
                                                  tmp_path):
    """In a worker of the data loader."""
    words = users_config(
        'train_dataloader = dict(num_workers=2, '
        "collate_fn=dict(type='default_collate'), dataset=dict(type='Digits', "
        "pipeline=[dict(type='Unreadable'), dict(type='PackInputs')]))")
    done = run_tool(
        'tools/train.py', *words, check=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert_one_line(done.stderr,
                    'reading the data: OSError: cannot read image_7.png',
                    tmp_path / 'w')


def test_a_missing_package_is_one_line(run_tool, tmp_path):
    blocked = tmp_path / 'mmrazor'
    (tmp_path / 'sitecustomize.py').write_text(
        'import importlib.metadata as m\n'
        'real = m.version\n'
        'def version(name):\n'
        '    if name == "mmrazor": raise m.PackageNotFoundError(name)\n'
        '    return real(name)\n'
        'm.version = version\n')
    done = run_tool(
        'tools/train.py', CONFIG, check=False, PYTHONPATH=str(tmp_path))
    assert not blocked.exists() and done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        'error: mmdgkd needs mmrazor>=1.0.0,<1.1, none is installed: '
        "pip install 'mmrazor==1.0.0'"
    ]


def test_guidance_names_the_default_work_dir(root, monkeypatch):
    monkeypatch.chdir(root)
    args = Namespace(
        config=CONFIG,
        work_dir=None,
        cfg_options=None,
        launcher='none',
        local_rank=0,
        guidance=None)
    plain = load_config(args)
    args.guidance = 'direct'
    cfg = load_config(args)
    assert cfg.work_dir == 'work_dirs/resnet20_to_resnet8_digits_direct'
    assert plain.work_dir == 'work_dirs/resnet20_to_resnet8_digits'
    assert cfg.chain.guidance == 'direct'


@pytest.mark.slow
def test_a_stage_config_runs_as_in_mmengine(run_here, fork_ranks, trained,
                                            tmp_path):
    cfg = Config.fromfile(
        osp.join(trained[0].work_dir, 'resnet8', 'config.py'))
    for hook in cfg.custom_hooks:
        if 'store_dir' in hook:
            # In mixed precision the teachers have other logits.
            hook.store_dir = str(tmp_path / 'logits')
    stage = str(tmp_path / 'stage.py')
    cfg.dump(stage)
    run_here('tools/train.py', stage, '--amp', '--work-dir', tmp_path / 'amp')
    fork_ranks('tools/train.py', stage, '--work-dir', tmp_path / 'two')
    for name in ('amp', 'two'):
        assert (tmp_path / name / 'epoch_2.pth').exists()
    done = run_here('tools/train.py', stage, '--dry-run', check=False)
    assert 'error: --dry-run: ' in done.stderr


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_end(fork_tool, run_here, trained,
                                            weights_of, tmp_path):
    """SIGKILL in the middle of the second stage."""
    (tmp_path / 'kill_hook.py').write_text(KILL_HOOK)
    config, work = tmp_path / 'chain.py', tmp_path / 'work'
    whole = trained[0]
    hooks = [*whole.custom_hooks, dict(type='KillHook', folder=str(tmp_path))]
    config.write_text(
        f"_base_ = {osp.join(whole.work_dir, 'config.py')!r}\n"
        "custom_imports = dict(imports=['mmdgkd', 'kill_hook'])\n"
        f'custom_hooks = {[dict(hook) for hook in hooks]}\n')
    words = ['tools/train.py', config, '--work-dir', work]
    assert fork_tool(*words).wait(120) == -signal.SIGKILL
    assert states(work) == dict(
        resnet20='done', resnet14='running', resnet8='pending')
    first = (work / 'resnet20/resnet20.pth').stat().st_mtime_ns
    run_here(*words, '--resume')
    assert 'resumed epoch: ' in log_of(work, 'resnet14')
    assert set(states(work).values()) == {'done'}
    assert (work / 'resnet20/resnet20.pth').stat().st_mtime_ns == first
    with open(work / 'chain.json') as file:
        stages = json.load(file)['stages']
    for name, entry in stages.items():
        assert [s for s, _ in entry['metric']['history']] == [1, 2]
        # Never killed, it ends with the same bits, and so do the stored
        # logits.
        assert_equal(weights_of(whole, name), weights_at(work, name))
    stored = list((work / 'logits').glob('*/*'))
    assert len(stored) == 4
    for mine in stored:
        # The file of the teacher, for people, is another one.
        (theirs, ) = Path(
            whole.work_dir, 'logits',
            mine.parent.name).glob(f'{mine.name.split("-")[0]}-*')
        rows = [np.load(path) for path in (mine, theirs)]
        assert np.array_equal(rows[0]['values'], rows[1]['values'])


KILL_HOOK = """
import os
import signal
import sys
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class KillHook(Hook):

    def __init__(self, folder):
        self.once = f'{folder}/killed'

    def before_train_iter(self, runner, **kwargs):
        if (runner.iter == 3 and not os.path.exists(self.once)
                and runner.experiment_name.startswith('resnet14')):
            open(self.once, 'w').close()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def weights_at(work_dir, name):
    return torch.load(
        osp.join(work_dir, name, f'{name}.pth'),
        weights_only=True)['state_dict']


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.slow
def test_two_processes_with_a_logit_store_and_without(fork_ranks, capsys,
                                                      tmp_path):
    """Each rank writes its own samples; all come to the same weights."""
    fork_ranks('tools/train.py', CONFIG, '--work-dir', tmp_path / 'live',
               *SMALL, 'chain.logit_store=None')
    stored = ('--work-dir', tmp_path / 'stored', *SMALL,
              'chain.logit_store.dtype=float32')
    fork_ranks('tools/train.py', CONFIG, *stored)
    for name in ('resnet20', 'resnet14', 'resnet8'):
        assert_equal(
            weights_at(tmp_path / 'live', name),
            weights_at(tmp_path / 'stored', name))
    log = log_of(tmp_path / 'stored', 'resnet8')
    assert re.search(r'resnet20.* 64 .*\(100', log)
    assert re.search(r'resnet14.* 64 .*\(0', log)
    # All rows of both ranks are there: one process finds them.
    list_store(str(tmp_path / 'stored'))
    assert capsys.readouterr().out.count('2: 128') == 2
    assert not (tmp_path / 'live' / 'logits').exists()
    assert 'in the ledger' in fork_ranks('tools/test.py', CONFIG, *stored)


@pytest.mark.parametrize('script', ['train', 'test'])
def test_scripts_start_the_launcher(run_tool, root, tmp_path, script):
    """With their flags, the variables, and this checkout first."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    python.chmod(0o755)
    done = run_tool(
        'bash', '-c', f'PATH={tmp_path}:$PATH PORT=29600 NNODES=2 NODE_RANK=1 '
        'MASTER_ADDR=first MAX_RESTARTS=4 '
        f'bash tools/dist_{script}.sh c.py 3 --resume')
    paths, *words = done.stdout.split()
    assert paths.startswith('tools/..')
    assert words == [
        'tools/_launch.py', '--nnodes=2', '--node_rank=1',
        '--master_addr=first', '--master_port=29600', '--nproc_per_node=3',
        '--max_restarts=4', f'tools/{script}.py', 'c.py', '--resume',
        '--launcher', 'pytorch'
    ]


@pytest.mark.parametrize('tool, words', [
    ('dist_train.sh', ['config.py']),
    ('dist_test.sh', ['config.py']),
    ('slurm_train.sh', ['partition', 'job', 'config.py']),
])
def test_scripts_print_their_usage(run_tool, tool, words):
    done = run_tool('bash', f'tools/{tool}', *words, check=False)
    assert done.returncode == 2 and 'usage: bash' in done.stderr


def test_slurm_gets_the_right_command(run_tool, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    done = run_tool(
        'bash', '-c',
        f'PATH={tmp_path}:$PATH GPUS=4 CPUS_PER_TASK=3 SRUN_ARGS="--mem 8G" '
        'bash tools/slurm_train.sh part job c.py w --resume')
    words = done.stdout.split()
    for word in ('-p part --job-name=job --gres=gpu:4 --ntasks=4 '
                 '--ntasks-per-node=4 --cpus-per-task=3 --mem 8G').split():
        assert word in words
    assert words[-7:] == [
        'tools/train.py', 'c.py', '--work-dir', 'w', '--launcher', 'slurm',
        '--resume'
    ]
