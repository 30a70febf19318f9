# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Stops and exit codes on their way through torchrun and Slurm.

Stand-ins take the place of the training, of srun and of scontrol.
"""
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from forked import free_port


def heed_signals():
    """Undo what nohup and background jobs do: a shell cannot trap these."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


# Its flag for this rank sets how it ends: CODE[:WAIT[:SECONDS]]. It exits with
# CODE after SECONDS; with WAIT=1 only SECONDS after the first signal.
# WAIT=dies sets no handlers.
WORKER = """
import os, signal, sys, time
rank = int(os.environ['RANK'])
code, wait, seconds = (sys.argv[1 + rank] + ':0:0').split(':')[:3]
folder = os.path.dirname(os.path.abspath(__file__))
got = []

def note(number, frame):
    got.append(number)
    with open(f'{folder}/got{rank}', 'a') as file:
        file.write(f'{number} ')

if wait != 'dies':
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, note)
with open(f'{folder}/pid{rank}', 'w') as file:
    file.write(str(os.getpid()))
while wait != '0' and not got:
    time.sleep(0.02)
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    time.sleep(0.02)
sys.exit(int(code))
"""


def wait_for(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read(path):
    return path.read_text() if path.exists() else ''


def lines(path):
    return read(path).splitlines()


def send(process, name):
    """Send a signal as a terminal or a scheduler does."""
    number = getattr(signal, name)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def launch(fork_tool, tmp_path):
    """A function that starts the launcher with a worker for each word."""

    def start(*words, nodes=1):
        port = free_port()
        folder = tmp_path / str(port)
        folder.mkdir()
        (folder / 'worker.py').write_text(WORKER)
        started = fork_tool('tools/_launch.py', f'--nnodes={nodes}',
                            '--node_rank=0', '--master_addr=127.0.0.1',
                            f'--master_port={port}',
                            f'--nproc_per_node={len(words)}',
                            folder / 'worker.py', *words)
        started.port, started.folder = port, folder
        return started

    yield start
    for path in tmp_path.glob('*/pid*'):
        if runs(int(read(path))):
            os.kill(int(read(path)), signal.SIGKILL)


def end_of(process):
    """The exit code and the output of a launcher."""
    return process.wait(60), process.output()


def wait_for_workers(process):
    wait_for(lambda: all(read(process.folder / f'pid{i}') for i in (0, 1)))


# Launchers run side by side: each starts for seconds.


@pytest.mark.slow
def test_exit_codes(launch):
    """Documented ones come through; torchrun reports a crash."""
    documented = {
        launch('2', '2'): 2,
        launch('3', '75:1'): 3,  # torchrun stops the second
        launch('75', '75:0:1'): 75,
        launch('75', '3:0:1'): 3,  # could not write the checkpoint
        launch('0', '0'): 0,
    }
    crashes = [launch('1', '75:1'), launch('75', '7:0:1')]
    for process, code in documented.items():
        assert end_of(process) == (code, '')
    for process in crashes:
        code, output = end_of(process)
        assert code == 1
        assert 'ChildFailedError' in output and 'worker.py FAILED' in output


@pytest.mark.slow
def test_signals(launch):
    """A signal reaches every worker once, and all are waited for."""
    names = ['SIGTERM', 'SIGUSR1', 'SIGINT']
    processes = [launch('75:1:0', '75:1:1') for _ in names]
    killed = launch('75:1', '75:1')
    deaf = {launch('0:dies', '0:dies'): code for code in (75, 130)}
    twice = launch('130:1:1', '130:1:1')
    for process, name in zip(processes, names):
        wait_for_workers(process)
        send(process, name)
    # As the kernel does when the memory is full: that is no stop.
    wait_for_workers(killed)
    os.kill(int(read(killed.folder / 'pid1')), signal.SIGKILL)
    # Workers that do not handle signals yet.
    for process, code in deaf.items():
        wait_for_workers(process)
        send(process, 'SIGUSR1' if code == 75 else 'SIGINT')
    # A second signal is forwarded, too.
    wait_for_workers(twice)
    for count in (1, 2):
        send(twice, 'SIGINT')
        wait_for(lambda: all(
            len(read(twice.folder / f'got{rank}').split()) == count
            for rank in (0, 1)))
    for process, name in zip(processes, names):
        assert end_of(process) == (75, '')
        for rank in (0, 1):
            got = read(process.folder / f'got{rank}').split()
            assert got == [str(int(getattr(signal, name)))]
            assert not runs(int(read(process.folder / f'pid{rank}')))
    code, output = end_of(killed)
    assert code == 1 and 'SIGKILL' in output
    for process, code in deaf.items():
        found, output = end_of(process)
        assert found == code and 'torch' not in output
    assert end_of(twice)[0] == 130


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', port)) == 0


@pytest.mark.slow
def test_a_signal_before_there_are_workers(launch):
    """While it waits for another machine."""
    processes = {name: launch('0', nodes=2) for name in ('SIGTERM', 'SIGINT')}
    for name, process in processes.items():
        wait_for(lambda: listens(process.port))
        send(process, name)
        assert end_of(process) == (-getattr(signal, name), '')


def test_a_signal_while_workers_start(root, monkeypatch):
    monkeypatch.syspath_prepend(root / 'tools')
    from _launch import GracefulContext
    context = GracefulContext.__new__(GracefulContext)
    context.received, context.unsent, context.all_started = set(), [], False
    sent = []
    monkeypatch.setattr(signal, 'signal', lambda *_: None)

    def start(self):
        self._forward(signal.SIGTERM, None)
        proc = SimpleNamespace(send_signal=sent.append)
        self.subprocess_handlers = {0: SimpleNamespace(proc=proc)}

    monkeypatch.setattr(GracefulContext.__base__, '_start', start)
    context._start()
    assert sent == [signal.SIGTERM]
    context._forward(signal.SIGTERM, None)
    assert sent == [signal.SIGTERM] * 2


@pytest.mark.slow
def test_two_machines(root, tmp_path):
    """By the script, with its variables for several machines."""
    for name in ('_torchrun.sh', '_launch.py'):
        (tmp_path / name).symlink_to(root / 'tools' / name)
    (tmp_path / 'train.py').write_text(WORKER)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
    processes = [
        subprocess.Popen([
            'bash', tmp_path / '_torchrun.sh', 'train.py', '75:1:0', '1',
            '75:1:1'
        ],
                         env=dict(
                             os.environ,
                             PATH=path,
                             NNODES='2',
                             NODE_RANK=str(rank),
                             PORT='29660'),
                         stderr=subprocess.PIPE,
                         text=True) for rank in (0, 1)
    ]
    try:
        wait_for(lambda: read(tmp_path / 'pid0') and read(tmp_path / 'pid1'))
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            errors = process.communicate(timeout=60)[1]
            assert process.returncode == 75, errors
            assert 'Traceback' not in errors
    finally:
        for process in processes:
            process.kill()


# Its exit codes come from the file "codes", one for each run; "wait" is one
# that comes after SIGUSR1.
SRUN = """#!/bin/bash
cd "$(dirname "$0")"
echo "$@" >>srun.log
for name in TERM USR1 INT; do
    trap "echo $name >>got" $name
done
read -r code <codes
sed -i 1d codes
while [ "$code" = wait ] && [ ! -s got ]; do
    : >up
    sleep 0.02
done
sleep 0.1
exit "${code/wait/75}"
"""
SCONTROL = """#!/bin/bash
cd "$(dirname "$0")"
echo "$@" >>scontrol.log
exit "$(cat refuses 2>/dev/null || echo 0)"
"""


@pytest.fixture
def slurm(root, tmp_path):
    """A function that starts the script where there is a little Slurm."""
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def start(*codes, flags=(), script='tools/slurm_train.sh', **env):
        (tmp_path / 'codes').write_text('\n'.join(codes) + '\n')
        path = os.pathsep.join([str(tmp_path), os.environ['PATH']])
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith('SLURM_')
        }
        return subprocess.Popen(
            ['bash', script, 'part', 'job', 'c.py', 'w', *flags],
            cwd=root,
            env=dict(clean, PATH=path, **env),
            start_new_session=True,
            preexec_fn=heed_signals,
            stderr=subprocess.PIPE,
            text=True)

    return start


def resumes(tmp_path):
    """How often --resume is among the flags of each srun."""
    return [
        line.split().count('--resume') for line in lines(tmp_path / 'srun.log')
    ]


@pytest.mark.parametrize('code', [0, 3, 137])
def test_slurm_other_exit_codes_come_through(slurm, tmp_path, code):
    assert slurm(str(code)).wait(60) == code
    assert slurm(str(code), SLURM_JOB_ID='7').wait(60) == code
    assert resumes(tmp_path) == [0, 0]
    assert not (tmp_path / 'scontrol.log').exists()


def test_slurm_from_a_login_node_queues_again(slurm, tmp_path):
    process = slurm('75', '75', '3')
    assert process.wait(60) == 3
    assert resumes(tmp_path) == [0, 1, 1]
    assert process.stderr.read() == 'stopped, and queued again\n' * 2


def test_slurm_does_not_resume_twice(slurm, tmp_path):
    flags = ['--resume', '--cfg-options', 'a=1']
    assert slurm('75', '0', flags=flags).wait(60) == 0
    assert slurm(
        '0', flags=flags, SLURM_JOB_ID='7',
        SLURM_RESTART_COUNT='1').wait(60) == 0
    assert resumes(tmp_path) == [1, 1, 1]


def test_slurm_batch_job_is_requeued_and_resumes(slurm, tmp_path):
    assert slurm('75', SLURM_JOB_ID='7').wait(60) == 75
    assert lines(tmp_path / 'scontrol.log') == ['requeue 7']
    env = dict(SLURM_JOB_ID='7', SLURM_RESTART_COUNT='1')
    assert slurm('0', flags=['--amp'], **env).wait(60) == 0
    assert resumes(tmp_path) == [0, 1]
    assert lines(tmp_path / 'scontrol.log') == ['requeue 7']


def test_slurm_refuses_to_requeue(slurm, tmp_path):
    (tmp_path / 'refuses').write_text('1')
    process = slurm('75', SLURM_JOB_ID='7')
    assert process.wait(60) == 75
    assert 'go on with --resume' in process.stderr.read()


def test_slurm_runs_a_copy_of_a_batch_script(slurm, root, tmp_path):
    copy = tmp_path / 'spool' / 'slurm_script'
    copy.parent.mkdir()
    copy.write_text(read(root / 'tools/slurm_train.sh'))
    env = dict(SLURM_JOB_ID='7', SLURM_SUBMIT_DIR=str(root))
    assert slurm('0', script=str(copy), **env).wait(60) == 0
    assert f'{root}/tools/train.py' in read(tmp_path / 'srun.log').split()


@pytest.mark.parametrize('name, sent', [('SIGTERM', 'USR1'), ('SIGINT', 'INT'),
                                        ('SIGHUP', 'USR1')])
@pytest.mark.parametrize('job', ['', '7'])
def test_slurm_script_gets_a_signal(slurm, tmp_path, name, sent, job):
    """It waits for srun, and queues nothing."""
    process = slurm('wait', '0', SLURM_JOB_ID=job)
    wait_for((tmp_path / 'up').exists)
    send(process, name)
    assert process.wait(60) == 75
    assert lines(tmp_path / 'got') == [sent]
    assert resumes(tmp_path) == [0]
    assert not (tmp_path / 'scontrol.log').exists()


def test_slurm_warns_the_script_itself(slurm, tmp_path):
    """As sbatch --signal=B:USR1@120 does."""
    process = slurm('wait', SLURM_JOB_ID='7')
    wait_for((tmp_path / 'up').exists)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 75
    assert lines(tmp_path / 'got') == ['USR1']
    assert lines(tmp_path / 'scontrol.log') == ['requeue 7']


def test_slurm_grace(slurm, tmp_path):
    assert slurm('0').wait(60) == slurm('0', GRACE='300').wait(60) == 0
    first, second = lines(tmp_path / 'srun.log')
    assert '--signal=USR1@120' in first and '--signal=USR1@300' in second
    assert '--kill-on-bad-exit=1' in first
