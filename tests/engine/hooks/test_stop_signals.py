# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import util

import pytest

from mmdgkd.engine.hooks import _signal_watch
from mmdgkd.engine.hooks._stop_signals import StopSignals


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGUSR1', 'SIGINT'])
def test_a_signal_requests_a_stop(number, capfd):
    with StopSignals() as signals:
        assert not signals.vote() and not signals.decide()
        os.kill(os.getpid(), getattr(signal, number))
        assert signals.vote() and signals.decide()
        assert signals.name == number
    assert f'{number}: the iteration is finished' in capfd.readouterr().err


def test_handlers_are_put_back():
    before = [
        signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    ]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert before == [
        signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    ]


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT'])
def test_a_second_one_ends_it_at_once(number, monkeypatch):
    monkeypatch.setattr(_signal_watch, 'APART', 0.1)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        # A scheduler and a launcher may both send the first one.
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        time.sleep(0.2)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), getattr(signal, number))
            signal.pause()


def test_slurm_announces_the_first_one(monkeypatch):
    monkeypatch.setattr(_signal_watch, 'APART', 0)
    with StopSignals() as signals:
        for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()


def hang(ready):
    """Wait in C for what never comes, as a collective does."""
    with StopSignals():
        mutex = ctypes.create_string_buffer(64)
        ready.set()
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(mutex)


@pytest.fixture
def hanging(monkeypatch):
    """A function that starts a process whose main thread hangs."""
    started = []

    def start():
        monkeypatch.setattr(_signal_watch, 'APART', 0.1)
        context = multiprocessing.get_context('fork')
        ready = context.Event()
        started.append(context.Process(target=hang, args=(ready, )))
        started[0].start()
        ready.wait()
        time.sleep(0.2)
        return started[0]

    yield start
    for each in started:
        each.kill()


def test_one_that_hangs_ends_at_the_second(hanging, capfd):
    process = hanging()
    os.kill(process.pid, signal.SIGTERM)
    process.join(3)
    assert process.exitcode is None
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 130
    assert 'stopped at once' in capfd.readouterr().err


def test_it_can_be_entered_in_a_thread():
    """Where no handlers can be set."""
    result = []

    def enter():
        with StopSignals() as signals:
            result.append(signals.decide())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert result == [False]


def test_ranks_stop_at_the_same_call(two):
    """In the run's own process group: others cost connections and time."""
    ranks = two('''
import torch
from mmdgkd.engine.hooks._stop_signals import StopSignals
with StopSignals() as signals:
    for call in range(1, 9):
        if rank == 1 and call == 3:
            signal.raise_signal(signal.SIGTERM)
        if signals.vote():
            break
    print("stopped at", call)
    assert signals.decide()
with StopSignals() as signals:
    assert not signals.decide() and not signals.vote()
print(len(torch.distributed.distributed_c10d._world.pg_map), "group")
''')
    assert [each.wait(60) for each in ranks] == [0, 0]
    for each in ranks:
        assert each.output().split('ready')[1].strip().splitlines()[-2:] == [
            'stopped at 4', '1 group'
        ]


def blocked(queue):
    queue.put(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_workers_do_not_get_them():
    context = multiprocessing.get_context('fork')

    def mask_of_a_worker():
        queue = context.SimpleQueue()
        process = context.Process(target=blocked, args=(queue, ))
        process.start()
        mask = queue.get()
        process.join()
        return mask

    with StopSignals():
        mask = mask_of_a_worker()
        assert {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT} <= mask
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not mask_of_a_worker()


def test_nor_do_those_that_are_spawned():

    def signals_of_a_worker():
        code = ('import signal, sys; '
                'sys.exit(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))')
        worker = util.spawnv_passfds(sys.executable.encode(),
                                     [sys.executable, '-c', code], [])
        return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])

    with StopSignals():
        assert signals_of_a_worker() == 3
    assert signals_of_a_worker() == 0
