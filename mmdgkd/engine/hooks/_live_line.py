# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import atexit
import contextlib
import os
import sys
import threading
from typing import Any, Callable, ContextManager, Dict, Tuple

from rich.cells import cell_len
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

# To the beginning of the line, and it is empty.
_ERASE = '\r\x1b[2K'


class LiveLine:
    """A line at the bottom of a terminal, above which all else is written.

    Whoever writes to the terminal holds the same stream object: ``print``, a
    warning, the handler of MMEngine's logger. So its ``write`` is replaced, of
    this object alone and as long as the line is shown. What is written goes
    through byte by byte, and the terminal may break long lines as it likes.
    (rich's own ``Live`` would replace ``sys.stdout``, which a handler does not
    notice, and would wrap what is written.)

    No thread draws it, since the workers of data loaders are forked meanwhile,
    and the cursor is never hidden, so that a kill leaves a terminal as it was.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout
        self._console = Console(file=self._stream)
        self._lock = threading.RLock()
        # By stream: its own ``write``, and what has taken its place.
        self._plain: Dict[Any, Tuple[Callable, Callable]] = {}
        self._pid = os.getpid()
        self._line = ''
        # Whether it is on the screen, and whether someone is in the middle of
        # a line of his own.
        self._shown = self._open = False

    @property
    def active(self) -> bool:
        """Whether it is being shown."""
        return bool(self._plain)

    def start(self) -> bool:
        """Begin, if the standard output is a terminal that can do it.

        Returns:
            bool: Whether it is one.
        """
        # What rich believes can be forced by the environment.
        if self.active or not (_is_terminal(self._stream)
                               and self._console.is_terminal
                               and not self._console.is_dumb_terminal):
            return self.active
        streams = [self._stream]
        if sys.stderr is not self._stream and _is_terminal(sys.stderr):
            streams.append(sys.stderr)
        for stream in streams:
            plain = stream.write
            stream.write = self._above(stream, plain)
            self._plain[stream] = plain, stream.write
        # Where nobody else stops it; before Python's own flush.
        atexit.register(self.stop)
        return True

    def draw(self, left: str, share: float, right: str) -> None:
        """Show the line, with a bar in the middle as long as there is room.

        Args:
            left (str): What is before the bar.
            share (float): How much of the bar is full, 0 to 1.
            right (str): What is after it.
        """
        if not self.active or self._pid != os.getpid():
            return
        with _terminal_may_go(), self._lock:
            self._line = self._rendered(left, share, right)
            if not self._open:
                self._show()

    def stop(self) -> None:
        """Take the line away and give the streams back."""
        if not self.active or self._pid != os.getpid():
            return
        with self._lock:
            with _terminal_may_go():
                self._erase()
            for stream, (plain, own) in self._plain.items():
                # Someone else, such as WandB, may have replaced it, too: since
                # then, or before. Otherwise it is the class that has it.
                if vars(stream).get('write') is own:
                    del stream.write
                    if stream.write != plain:
                        stream.write = plain
            self._plain, self._line = {}, ''
        atexit.unregister(self.stop)

    @property
    def width(self) -> int:
        """So many columns it may have: a full line would be broken."""
        columns = 0
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._stream.fileno()).columns
        return (columns or self._console.width) - 1

    def _rendered(self, left: str, share: float, right: str) -> str:
        room = self.width - cell_len(left) - cell_len(right) - 2
        with self._console.capture() as capture:
            text = Text(left)
            if room >= 5:
                self._console.print(text, end=' ', soft_wrap=True)
                self._console.print(
                    ProgressBar(1.0, share, width=min(room, 30)))
                text = Text(f' {right}')
            else:
                text.append(f' {right}')
                text.truncate(self.width, overflow='ellipsis')
            self._console.print(text, end='', soft_wrap=True)
        encoding = self._stream.encoding or 'utf-8'
        return capture.get().encode(encoding, 'replace').decode(encoding)

    def _above(self, stream: Any, plain: Callable) -> Callable:
        """What takes the place of a stream's ``write``."""

        def write(text: str) -> int:
            if not text:
                return plain(text)
            if self._pid != os.getpid():
                # A forked worker: the line is there, but it is not its own,
                # and nobody can say who held the lock.
                begin, self._open = not self._open, text[-1:] != '\n'
                return plain(_ERASE + text if begin else text)
            with self._lock:
                with _terminal_may_go():
                    self._erase()
                count = plain(text)
                self._open = text[-1:] != '\n'
                if not self._open:
                    stream.flush()
                    with _terminal_may_go():
                        self._show()
            return count

        return write

    def _show(self) -> None:
        if self._line:
            self._out(_ERASE + self._line)
            self._shown = True

    def _erase(self) -> None:
        if self._shown:
            self._out(_ERASE)
            self._shown = False

    def _out(self, text: str) -> None:
        self._plain[self._stream][0](text)
        self._stream.flush()


def _terminal_may_go() -> ContextManager:
    # Its end is not that of a training.
    return contextlib.suppress(OSError, ValueError)


def _is_terminal(stream: Any) -> bool:
    # Streams written in C have no place for another ``write``.
    return (hasattr(stream, '__dict__') and hasattr(stream, 'isatty')
            and not getattr(stream, 'closed', False) and stream.isatty())
