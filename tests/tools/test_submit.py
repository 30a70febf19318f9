# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains as jobs, on this machine and on Slurm, where there is one."""
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd_cli.clusters import check_slurm

WORDS = [
    'configs/dgkd/resnet20_to_resnet8_digits.py', '--guidance', 'direct',
    '--seeds', '0', '1', '--no-rehearsal', '--cfg-options',
    'train_cfg.max_epochs=20', 'train_dataloader.dataset.indices=64',
    'val_dataloader.dataset.indices=64'
]


def states(path):
    stages = json.loads((path / 'chain.json').read_text())['stages']
    return {name: entry['state'] for name, entry in stages.items()}


def process_of(text, path):
    """The number of the process with some text in its command line."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    found = subprocess.run(['pgrep', '-f', text],
                           capture_output=True,
                           text=True).stdout.split()
    assert len(found) == 1, found
    return int(found[0])


@pytest.mark.slow
def test_jobs_that_are_preempted_or_killed(fork_tool, tmp_path):
    """One is queued again; a failure stops no other, and is repeated."""
    work = tmp_path / 'work'
    words = [
        'tools/submit.py', WORDS[0], '--jobs', '2', '--work-dir', work,
        *WORDS[1:]
    ]
    run = fork_tool(*words, OMP_NUM_THREADS='1')
    stage = f'{work}/seed0 --stage resnet20'
    child = process_of(stage, work / 'seed0/resnet20/epoch_2.pth')
    # To the job, as a scheduler sends it: the training is its child.
    with open(f'/proc/{child}/stat') as file:
        os.kill(int(file.read().rpartition(')')[2].split()[1]), signal.SIGUSR1)
    os.kill(
        process_of(f'{work}/seed0 --stage resnet14',
                   work / 'seed0/resnet14/epoch_2.pth'), signal.SIGKILL)
    assert run.wait(240) == 3
    lines = run.output().splitlines()
    assert lines[-1] == ('error: failed: seed0/resnet14; the same command goes'
                         ' on')
    assert any('seed0/resnet14: failed: it was killed (' in line
               for line in lines)
    assert states(work / 'seed0') == dict(
        resnet20='done', resnet14='running', resnet8='done')
    assert states(work / 'seed1') == dict(resnet20='given', resnet8='done')
    log = ''.join(path.read_text() for path in work.glob('jobs/*/*.err'))
    assert 'stopped by SIGUSR1 in resnet20; a checkpoint of' in log

    run = fork_tool(*words, OMP_NUM_THREADS='1')
    assert run.wait(120) == 0, run.output()
    lines = run.output().splitlines()
    assert lines[-2:] == [
        'seed0/resnet14: done',
        str(work / 'report' / 'report.html')
    ]
    assert len([line for line in lines if line.endswith(': started')]) == 1
    run = fork_tool('tools/train.py', min(work.glob('jobs/*/seed0.py')),
                    '--work-dir', tmp_path / 'whole')
    assert run.wait(120) == 0
    for name in ('resnet20', 'resnet14', 'resnet8'):
        ours, theirs = (
            torch.load(path / name / f'{name}.pth')['state_dict']
            for path in (work / 'seed0', tmp_path / 'whole'))
        for key, value in theirs.items():
            assert torch.equal(ours[key], value), (name, key)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which('sinfo')
         and not subprocess.run(['sinfo'], capture_output=True).returncode),
    reason='needs a Slurm, such as that of tools/dev/one_node_slurm.sh')
def test_on_slurm(run_here, tmp_path):
    """Each waits for what it needs, and the report for all."""
    work = tmp_path / 'work'
    run_here('tools/submit.py', *WORDS[:1], '--work-dir', work, '--cluster',
             'slurm', '--slurm', 'cpus_per_task=1', 'time=9', *WORDS[1:])
    while subprocess.run(['squeue', '-h'], capture_output=True).stdout:
        time.sleep(0.5)
    assert set(states(work / 'seed0').values()) == {'done'}
    assert states(work / 'seed1') == dict(resnet20='given', resnet8='done')
    assert (work / 'report' / 'report.html').exists()


@pytest.mark.parametrize(
    'words, message',
    [(('--cluster', 'slurm'), '--cluster slurm: there is no sbatch here'),
     (('--slurm', 'partition'), "--slurm: 'partition' should be key=value"),
     (('--slurm', 'time=2'), '--slurm: is for --cluster slurm; leave'),
     (('--seeds', '0', '0'), '--seeds: 0 is given twice'),
     (('--jobs', '0'), '--jobs: 0 must be 1 or more'),
     (('--jobs', '2', '--cluster', 'slurm'), '--jobs: is for --cluster local'),
     (('--launcher', 'slurm'), '--launcher: is chosen for each job')])
def test_mistakes_in_one_line(run_here, tmp_path, monkeypatch, words, message):
    monkeypatch.setenv('PATH', '')
    done = run_here(
        'tools/submit.py',
        WORDS[0],
        '--work-dir',
        tmp_path / 'work',
        *words,
        check=False)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f'error: {message}')
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize('options, message', [
    (dict(), '--slurm: has no time; set that to the minutes'),
    (dict(time='04:00:00'), "--slurm time: '04:00:00' must be an integer"),
    (dict(time=2, nodes='two'), "--slurm nodes: 'two' must be an integer"),
    (dict(time=2, job_name='x'), '--slurm job_name: is set by mmdgkd submit')
])
def test_mistakes_in_what_slurm_is_told(monkeypatch, options, message):
    monkeypatch.setattr('shutil.which', lambda name: name)
    with pytest.raises(ConfigError, match=f'^{message}'):
        check_slurm(options)


@pytest.mark.slow
def test_a_signal_to_submit_goes_to_the_jobs(fork_tool, tmp_path):
    work = tmp_path / 'work'
    run = fork_tool('tools/submit.py', WORDS[0], '--work-dir', work,
                    *WORDS[1:], 'train_cfg.max_epochs=900')
    process_of(f'{work}/seed0 --stage resnet20',
               work / 'seed0/resnet20/epoch_2.pth')
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 75
    lines = run.output().splitlines()
    assert 'resnet20: failed: stopped by SIGTERM in resnet20' in lines[-2]
    assert lines[-1] == 'stopped; the same command goes on'
    assert states(work / 'seed0')['resnet20'] == 'running'
