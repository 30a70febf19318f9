# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command line, as a user types it."""
import json
import os
import os.path as osp
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

CONFIG = 'configs/dgkd/resnet20_to_resnet8_digits.py'
SMALL = [
    '--cfg-options', 'train_cfg.max_epochs=2',
    'train_dataloader.dataset.indices=64', 'val_dataloader.dataset.indices=64'
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
    'train_dataloader.dataset.indices=64', 'val_dataloader.dataset.indices=64'
]


def test_a_chain_prints_a_line_a_stage_and_logs_the_rest(run_here, tmp_path):
    done = run_here('tools/train.py', CONFIG, '--work-dir', tmp_path, *TINY)
    assert not done.stderr
    lines = done.stdout.splitlines()
    stages = [line for line in lines if line.startswith('stage ')]
    assert len(stages) == 2
    assert re.fullmatch(
        r'stage 1/2 resnet20: accuracy/top1 \d+\.\d\d, \d+\.\d s, '
        r'chain ETA \d:\d\d:\d\d', stages[0])
    assert re.fullmatch(
        r'stage 2/2 resnet8: accuracy/top1 \d+\.\d\d, \d+\.\d s', stages[1])
    # Beside them only the two tables and the line of the logit store.
    assert all(
        line.startswith(('The chain in ', '+', '| ', 'logit store: ', 'stage'))
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


def test_guidance_names_the_default_work_dir(run_tool, tmp_path):
    script = (
        'import sys; sys.path.insert(0, "tools"); '
        'from argparse import Namespace; import _common; '
        f'args = Namespace(config={CONFIG!r}, work_dir=None, '
        'cfg_options=None, launcher="none", local_rank=0, guidance=None); '
        'plain = _common.load_config(args); args.guidance = "direct"; '
        'cfg = _common.load_config(args); '
        'print(cfg.work_dir, plain.work_dir, cfg.chain.guidance)')
    done = run_tool(sys.executable, '-c', script)
    assert done.stdout.split() == [
        'work_dirs/resnet20_to_resnet8_digits_direct',
        'work_dirs/resnet20_to_resnet8_digits', 'direct'
    ]


@pytest.mark.slow
def test_a_stage_config_runs_as_in_mmengine(run_here, trained, tmp_path):
    stage = osp.join(trained[0].work_dir, 'resnet8', 'config.py')
    run_here('tools/train.py', stage, '--work-dir', tmp_path)
    assert (tmp_path / 'epoch_2.pth').exists()
    done = run_here('tools/train.py', stage, '--dry-run', check=False)
    assert 'error: --dry-run: ' in done.stderr


@pytest.mark.slow
def test_a_stage_config_runs_with_amp_and_several_processes(
        run_tool, trained, tmp_path):
    stage = osp.join(trained[0].work_dir, 'resnet8', 'config.py')
    run_tool('tools/train.py', stage, '--amp', '--work-dir', tmp_path / 'amp')
    run_tool(
        'bash',
        'tools/dist_train.sh',
        stage,
        '2',
        '--work-dir',
        tmp_path / 'two',
        PORT='29613')
    for name in ('amp', 'two'):
        assert (tmp_path / name / 'epoch_2.pth').exists()


@pytest.mark.slow
def test_amp(run_here, tmp_path):
    run_here('tools/train.py', CONFIG, '--amp', '--work-dir', tmp_path, *SMALL)
    assert set(states(tmp_path).values()) == {'done'}


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_end(run_tool, tmp_path):
    """SIGKILL in the middle of the second stage."""
    words = [
        sys.executable, 'tools/train.py', CONFIG, '--work-dir',
        str(tmp_path), '--cfg-options', 'train_cfg.max_epochs=4',
        'train_dataloader.dataset.indices=128'
    ]
    env = dict(os.environ)
    process = subprocess.Popen(
        words, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    folder = tmp_path / 'resnet14'
    deadline = time.monotonic() + 300
    while not (folder / 'epoch_1.pth').exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert states(tmp_path) == dict(
        resnet20='done', resnet14='running', resnet8='pending')
    first = (tmp_path / 'resnet20' / 'resnet20.pth').stat().st_mtime_ns
    done = subprocess.run(
        words[:1] + words[1:5] + ['--resume'] + words[5:],
        capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr
    assert 'resumed epoch: ' in log_of(tmp_path, 'resnet14')
    assert set(states(tmp_path).values()) == {'done'}
    assert (tmp_path / 'resnet20' / 'resnet20.pth').stat().st_mtime_ns == first
    with open(tmp_path / 'chain.json') as file:
        stages = json.load(file)['stages']
    for entry in stages.values():
        assert [s for s, _ in entry['metric']['history']] == list(range(1, 5))
    # Never killed, it ends with the same bits, and so do the stored logits.
    unbroken = tmp_path / 'unbroken'
    subprocess.run(
        words[:3] + ['--work-dir', unbroken] + words[5:],
        stdout=subprocess.DEVNULL,
        check=True)
    for name in stages:
        assert_equal_weights(tmp_path, unbroken, name)
    stores = [
        sorted((path / 'logits').glob('*.logits'))
        for path in (tmp_path, unbroken)
    ]
    assert len(stores[0]) == 2
    for mine, theirs in zip(*stores):
        assert mine.name == theirs.name
        rows = [path.read_bytes()[4096:] for path in (mine, theirs)]
        assert rows[0] == rows[1]


def assert_equal_weights(first, second, name):
    files = [
        torch.load(path / name / f'{name}.pth')['state_dict']
        for path in (first, second)
    ]
    for key, value in files[0].items():
        assert torch.equal(value, files[1][key]), (name, key)


@pytest.mark.slow
def test_two_processes_with_a_logit_store_and_without(run_tool, run_ranks,
                                                      root, tmp_path):
    """Each rank writes its own samples; all come to the same weights."""
    small = dict(word.split('=') for word in SMALL[1:])
    run_ranks(
        root / CONFIG, tmp_path / 'live',
        dict({
            key: int(value)
            for key, value in small.items()
        }, **{'chain.logit_store': None}))
    run_tool(
        'bash',
        'tools/dist_train.sh',
        CONFIG,
        '2',
        '--work-dir',
        tmp_path / 'stored',
        *SMALL,
        'chain.logit_store.dtype=float32',
        PORT='29614',
        OMP_NUM_THREADS='1')
    for name in ('resnet20', 'resnet14', 'resnet8'):
        assert_equal_weights(tmp_path / 'live', tmp_path / 'stored', name)
    log = log_of(tmp_path / 'stored', 'resnet8')
    assert re.search(r'resnet20.* 64 .*\(100', log)
    assert re.search(r'resnet14.* 64 .*\(0', log)
    # All rows of both ranks are there: one process finds them.
    show = run_tool(sys.executable, '-m', 'mmdgkd.logit_store',
                    tmp_path / 'stored')
    assert show.stdout.count('2: 128') == 2
    assert not (tmp_path / 'live' / 'logits').exists()


SAVE_RANKS = """
import os
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SaveRanks(Hook):
    priority = 'LOWEST'

    def after_train(self, runner):
        path = f'{runner.work_dir}/rank{runner.rank}.pt'
        model = runner.model.module
        model = getattr(model, 'architecture', model)
        torch.save(model.state_dict(), path)
"""


@pytest.mark.slow
def test_two_processes_on_the_cpu_end_with_the_same_weights(
        run_tool, tmp_path, root):
    (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
    config = tmp_path / 'chain.py'
    parent = root / 'configs/dgkd/resnet20_to_resnet8_digits_stochastic.py'
    config.write_text(f'_base_ = {str(parent)!r}\n'
                      "custom_imports = dict(imports=['mmdgkd', 'save_ranks'])"
                      "\ncustom_hooks = [dict(type='SyncBuffersHook'), "
                      "dict(type='SaveRanks')]\n")
    work_dir = tmp_path / 'work'
    done = run_tool(
        'bash',
        'tools/dist_train.sh',
        config,
        '2',
        '--work-dir',
        work_dir,
        *SMALL,
        PORT='29611',
        PYTHONPATH=str(tmp_path))
    assert set(states(work_dir).values()) == {'done'}, done.stderr
    for name in ('resnet20', 'resnet14', 'resnet8'):
        ranks = [
            torch.load(work_dir / name / f'rank{rank}.pt') for rank in (0, 1)
        ]
        final = torch.load(work_dir / name / f'{name}.pth')['state_dict']
        for key, value in ranks[0].items():
            assert torch.equal(value, ranks[1][key]), (name, key)
            assert torch.equal(value, final[key]), (name, key)
    done = run_tool(
        'bash',
        'tools/dist_test.sh',
        config,
        '2',
        '--work-dir',
        work_dir,
        PORT='29612',
        PYTHONPATH=str(tmp_path))
    assert 'in the ledger' in done.stdout


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
