# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Two processes, one of which vanishes."""
import os
import signal
import time

import pytest

from mmdgkd import ConfigError
from mmdgkd.utils.distributed import start_processes

STOP = 'if rank == {}: os.kill(os.getpid(), signal.SIGSTOP)'


@pytest.mark.parametrize('rank', [0, 1])
def test_a_process_that_gives_no_heartbeat_ends_the_other(two, rank):
    """The first one also has the store."""
    other = two(STOP.format(rank), peer_timeout=1)[1 - rank]
    assert other.wait(60) == 75
    line = other.output().splitlines()[-1]
    who = f'rank {rank}' if rank else 'the first process or its launcher'
    assert f'stopped: no heartbeat of {who} for 1 s (env_cfg.peer' in line
    assert line.startswith('[rank 1] ') == (rank == 0)


def test_a_process_that_is_killed_ends_the_other(two):
    first = two(STOP.format(1).replace('STOP', 'KILL'))[0]
    assert first.wait(60) == 75
    assert first.output().splitlines() == [
        'ready', 'stopped: another process has ended; --resume goes on from '
        'the last checkpoint'
    ]


def test_a_collective_has_the_timeout_of_the_config(two):
    """It may be a slow one: a failure, not to be repeated for ever."""
    first = two(STOP.format(1), peer_timeout=None, dist_cfg=dict(timeout=1))[0]
    assert first.wait(60) == 3
    assert 'Timed out waiting 1000ms' in first.output()


def test_a_process_that_is_slow_is_not_gone(two):
    for each in two('time.sleep(3 * rank)', peer_timeout=1):
        assert each.wait(60) == 0
        assert each.output() == 'ready\n'


def test_a_process_that_has_ended_by_itself_is_not_gone(two):
    # Python does so at its end, but not in a process of multiprocessing.
    first, second = two(
        'if rank: import atexit; atexit._run_exitfuncs(); sys.exit()\n'
        'time.sleep(3); print("done", flush=True); os._exit(0)',
        peer_timeout=1)
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert first.output().splitlines() == ['ready', 'done']


def test_a_process_that_was_suspended_itself_goes_on(two):
    ranks = two('time.sleep(1)', peer_timeout=2)
    while any('ready' not in each.output() for each in ranks):
        time.sleep(0.02)
    for each in ranks:
        os.kill(each.pid, signal.SIGSTOP)
    time.sleep(3)
    for each in ranks:
        os.kill(each.pid, signal.SIGCONT)
    assert [each.wait(60) for each in ranks] == [0, 0]


def test_one_that_waits_for_another_ends_after_sigterm(two):
    """Not within a call that may well take so long, such as to the disk."""
    first = two('''
from mmdgkd.engine.hooks import _signal_watch
from mmdgkd.engine.hooks._stop_signals import StopSignals
_signal_watch.PATIENCE = 1
signals = StopSignals().__enter__()
if rank: os.kill(os.getpid(), signal.SIGSTOP)
signal.raise_signal(signal.SIGTERM)
time.sleep(4)
print("slept", flush=True)
''')[0]
    assert first.wait(60) == 75
    assert 'slept' in first.output()
    assert 'SIGTERM: the iteration waits for another proc' in first.output()


@pytest.mark.parametrize('rank', [0, 1])
def test_a_failure_of_one_is_one_of_all(two, rank):
    """A scheduler would else repeat what cannot succeed."""
    ranks = two(
        f'if rank == {rank}: raise RuntimeError("gloo: closed by peer")',
        peer_timeout=8)
    assert [each.wait(60) for each in ranks] == [3, 3]
    assert 'RuntimeError: gloo: closed by peer' in ranks[rank].output()
    assert f'error: rank {rank} has failed' in ranks[1 - rank].output()


@pytest.mark.parametrize('seconds', [0, -1, float('nan')])
def test_a_wrong_timeout(seconds):
    with pytest.raises(ConfigError, match='^env_cfg.peer_timeout: .* positiv'):
        start_processes('none', dict(peer_timeout=seconds))
