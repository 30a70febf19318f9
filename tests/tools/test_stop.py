# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Signals, full disks and exit codes, as a cluster and a user meet them."""
import json
import os
import os.path as osp
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

CONFIG = 'configs/dgkd/resnet20_to_resnet8_digits.py'
SURVIVOR = 'tests/configs/survivor.py'


def start(tmp_path, *words):
    """Start a command in a session of its own."""
    words = [str(word) for word in words]
    path = os.pathsep.join([osp.dirname(sys.executable), os.environ['PATH']])
    with open(tmp_path / 'out', 'w') as out, open(tmp_path / 'err',
                                                  'w') as err:
        return subprocess.Popen(
            words,
            stdout=out,
            stderr=err,
            env=dict(os.environ, PATH=path),
            start_new_session=True)


def wait_for(path, ended):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline and not ended()
        time.sleep(0.02)


def processes_of(session):
    found = subprocess.run(
        ['ps', '-o', 'pid=', '-s', str(session)],
        capture_output=True,
        text=True)
    return found.stdout.split()


def states(work_dir):
    with open(osp.join(work_dir, 'chain.json')) as file:
        stages = json.load(file)['stages']
    return {name: entry['state'] for name, entry in stages.items()}


@pytest.mark.slow
def test_a_signal_to_all_processes(tmp_path, fork_tool):
    """As Slurm and a terminal send it: to the workers of the data, too."""
    work = tmp_path / 'work'
    process = fork_tool('tools/train.py', SURVIVOR, '--work-dir', work,
                        '--cfg-options', 'train_cfg.max_epochs=50')
    wait_for(work / 'resnet20' / 'iter_8.pth', process.ended)
    os.killpg(process.pid, signal.SIGINT)
    begin = time.monotonic()
    assert process.wait(60) == 75
    assert time.monotonic() - begin < 20
    lines = process.output().strip().splitlines()
    assert lines[-1].startswith('stopped by SIGINT in resnet20; a '
                                'checkpoint of iteration ')
    assert 'Traceback' not in process.output()
    assert not processes_of(process.pid)


@pytest.mark.slow
def test_two_ranks_stop_together_and_go_on_to_the_same_bits(
        tmp_path, fork_ranks, monkeypatch):
    """One rank is killed, and later gets a signal; both are exact later."""
    work = tmp_path / 'work'
    options = ('--stage', 'resnet20', '--cfg-options',
               'train_cfg.max_epochs=10')
    monkeypatch.setenv('MAX_RESTARTS', '1')
    process = start(tmp_path, 'bash', 'tools/dist_train.sh', SURVIVOR, '2',
                    '--work-dir', work, *options)
    for iteration, number in ((4, signal.SIGKILL), (12, signal.SIGUSR1)):
        wait_for(work / 'resnet20' / f'iter_{iteration}.pth',
                 lambda: process.poll() is not None)
        ranks = subprocess.run(['pgrep', '-P', str(process.pid)],
                               capture_output=True,
                               text=True).stdout.split()
        assert len(ranks) == 2
        os.kill(int(ranks[1]), number)
    assert process.wait(90) == 75
    text = (tmp_path / 'err').read_text()
    assert 'a checkpoint of iteration ' in text and 'Traceback' not in text
    assert states(work)['resnet20'] == 'running'
    for folder in (work, tmp_path / 'whole'):
        fork_ranks('tools/train.py', SURVIVOR, '--resume', '--work-dir',
                   folder, *options)
    files = [
        torch.load(path / 'resnet20' / 'resnet20.pth')['state_dict']
        for path in (work, tmp_path / 'whole')
    ]
    for key, value in files[0].items():
        assert torch.equal(value, files[1][key]), key


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_is_lost(run_here, tmp_path):
    """A limit on the size of files stands for the disk."""
    options = [
        CONFIG, '--work-dir', tmp_path, '--resume', '--cfg-options',
        'train_cfg.max_epochs=2', 'train_dataloader.dataset.indices=64',
        'val_dataloader.dataset.indices=64', 'chain.preflight=False'
    ]
    run_here('tools/train.py', *options, '--stage', 'resnet20')
    before = json.loads((tmp_path / 'chain.json').read_text())['stages']
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * 1024, limits[1]))
    try:
        done = run_here('tools/train.py', *options, check=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 3
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith('error: ') and 'epoch_1.pth' in line
    assert 'make room, and add --resume to go on' in line
    assert not list(tmp_path.glob('*/*.part'))
    after = json.loads((tmp_path / 'chain.json').read_text())['stages']
    assert after['resnet20'] == before['resnet20']
    run_here('tools/train.py', *options)
    assert set(states(tmp_path).values()) == {'done'}
