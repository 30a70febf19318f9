# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import util

import pytest

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


def test_only_ctrl_c_ends_it_at_once():
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()


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
