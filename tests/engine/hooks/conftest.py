# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A terminal and what is on it."""
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading

import pytest


class Terminal:
    """A real pseudo terminal whose other end is read."""

    def __init__(self, columns):
        self.columns = columns
        self.bytes = b''
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', 24, columns, 0, 0))
        self.stream = open(slave, 'w', encoding='utf-8')
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                break
            if not chunk:
                break
            self.bytes += chunk

    def close(self):
        """Close it and have read all."""
        if not self.stream.closed:
            self.stream.close()
            self._reader.join()
            os.close(self._master)

    @property
    def text(self):
        """All that was written to it."""
        self.close()
        return self.bytes.decode()

    @property
    def screen(self):
        """What is on it at last: its rows, the ones scrolled away, too."""
        return screen(self.text, self.columns)

    @property
    def drawn(self):
        """Each form of the live line, without colors."""
        plain = re.sub(r'\x1b\[[0-9;]*m', '', self.text)
        return [
            part for part in re.findall(r'\r\x1b\[2K([^\r\n]*)', plain)
            if part and not re.match(r'\d\d/\d\d ', part)
        ]


def screen(text, columns):
    """What a terminal shows of a text; it knows what may be written."""
    rows, column = [[]], 0
    for part in re.findall(r'\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]|\x1b', text):
        if part == '\x1b[2K':
            rows[-1] = []
        elif re.fullmatch(r'\x1b\[[0-9;]*m', part):
            pass
        elif part == '\r':
            column = 0
        elif part == '\n':
            rows.append([])
        else:
            assert part.isprintable(), repr(part)
            if column == columns:
                rows.append([])
                column = 0
            rows[-1] += [' '] * (column + 1 - len(rows[-1]))
            rows[-1][column] = part
            column += 1
    return [''.join(row) for row in rows]


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes a terminal the standard output and error."""
    made = []
    for name in ('NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE', 'COLUMNS'):
        monkeypatch.delenv(name, raising=False)

    def make(columns=120, term='xterm-256color'):
        monkeypatch.setenv('TERM', term)
        made.append(Terminal(columns))
        monkeypatch.setattr(sys, 'stdout', made[-1].stream)
        monkeypatch.setattr(sys, 'stderr', made[-1].stream)
        return made[-1]

    yield make
    for one in made:
        one.close()
