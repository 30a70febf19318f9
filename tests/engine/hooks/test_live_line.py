# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import io
import os
import sys

import pytest

from mmdgkd.engine.hooks._live_line import LiveLine


@pytest.fixture
def line():
    lines = []

    def make():
        lines.append(LiveLine())
        return lines[-1]

    yield make
    for one in lines:
        one.stop()


def test_all_is_written_above_it(terminal, line):
    here = terminal()
    one = line()
    held = sys.stdout  # as the handler of a logger holds it
    assert one.start() and one.active
    one.draw('left', 0.5, '1/2')
    held.write('a line of a log\n')
    print('printed')
    print('a warning', file=sys.stderr)
    one.draw('left', 1.0, '2/2')
    one.stop()
    print('after')
    assert here.screen == [
        'a line of a log', 'printed', 'a warning', 'after', ''
    ]
    # But it was there, below each of them.
    assert [row[:4] for row in here.drawn].count('left') == 5
    assert '\x1b[?' not in here.text  # the cursor is never hidden


def test_the_streams_are_given_back(terminal, line):
    here = terminal()
    before = here.stream.write
    one = line()
    one.start()
    assert here.stream.write != before
    one.stop()
    assert here.stream.write == before and 'write' not in vars(here.stream)


@pytest.mark.parametrize('then', ['before', 'since'])
def test_someone_elses_write_is_left(terminal, line, then):
    """Such as WandB's, which reads what is printed."""
    here, seen = terminal(), []
    plain = here.stream.write
    one = line()
    if then == 'since':
        one.start()
        plain = here.stream.write

    def tapped(text):
        seen.append(text)
        return plain(text)

    here.stream.write = tapped
    if then == 'before':
        one.start()
    one.draw('left', 0.5, 'right')
    print('printed')
    one.stop()
    assert here.stream.write is tapped
    print('after')
    assert 'printed' in ''.join(seen) and 'after' in seen
    assert here.screen == ['printed', 'after', '']


@pytest.mark.parametrize('columns', [3, 20, 60, 120])
def test_it_never_breaks(terminal, line, columns):
    here = terminal(columns)
    one = line()
    one.start()
    for i in range(3):
        one.draw('a long name of a network | epoch 12/160', i / 2,
                 '34/391 | loss 1.2345 | ETA 0:12:04')
        print(f'line {i}'[:columns])
    one.stop()
    assert all(len(row) < columns for row in here.drawn if row[:3] != 'lin')
    assert here.screen == [f'line {i}'[:columns] for i in range(3)] + ['']
    assert ('━' in here.text) == (columns == 120)


def test_a_half_written_line_is_left_alone(terminal, line):
    here = terminal()
    one = line()
    one.start()
    one.draw('left', 0.5, 'right')
    print('half', end='')
    one.draw('left', 0.6, 'right')
    print(' a line')
    one.stop()
    assert here.screen == ['half a line', '']


def test_a_forked_process_draws_nothing(terminal, line):
    here = terminal()
    one = line()
    one.start()
    one.draw('left', 0.5, 'right')
    child = os.fork()
    if not child:
        one.draw('child', 0.5, 'child')
        print('from the child')
        sys.stdout.flush()
        one.stop()
        os._exit(0)
    os.waitpid(child, 0)
    one.draw('left', 1.0, 'right')
    one.stop()
    assert here.screen == ['from the child', '']
    assert [row[:4] for row in here.drawn].count('left') == 2
    assert not any('child' in row
                   for row in here.drawn if row != 'from the child')


def test_there_is_none_elsewhere(terminal, line, monkeypatch):
    terminal(term='dumb')
    assert not line().start()
    # rich would take it for a terminal.
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('FORCE_COLOR', '1')
    pipe = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', pipe)
    one = line()
    assert not one.start() and not one.active
    one.draw('left', 0.5, 'right')
    one.stop()
    assert pipe.getvalue() == ''


def test_other_encodings(terminal, line):
    here = terminal()
    here.stream.reconfigure(encoding='ascii')
    one = line()
    one.start()
    one.draw('résnet', 0.5, 'right')
    one.stop()
    assert here.drawn[0].startswith('r?snet ')


def test_a_terminal_that_is_gone_ends_nothing(terminal, line):
    here = terminal()
    one = line()
    one.start()
    here.close()
    one.draw('left', 0.5, 'right')
    one.stop()
    assert not one.active
