# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
import time
from collections import deque
from typing import Deque, Dict, Iterator, Tuple

import torch


class TeacherTimer:
    """Measures the time that teachers compute, without waiting for it.

    On the CPU it is the time that passes. On a GPU it is the time between two
    events in its stream, which is read only after the GPU has passed them.
    Other devices are not measured.
    """

    def __init__(self) -> None:
        self._seconds: Dict[str, float] = {}
        self._open: Deque[Tuple] = deque()

    @contextlib.contextmanager
    def timing(self, name: str, device: torch.device) -> Iterator[None]:
        """Measure the time of what is computed inside.

        Args:
            name (str): The teacher.
            device (torch.device): Its device.
        """
        if device.type != 'cuda':
            start = time.perf_counter()
            yield
            if device.type == 'cpu':
                self._add(name, time.perf_counter() - start)
            return
        stream = torch.cuda.current_stream(device)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(stream)
        yield
        end.record(stream)
        self._open.append((name, begin, end))
        # So that a long training does not pile them up.
        self._settle()

    @property
    def seconds(self) -> Dict[str, float]:
        """Seconds by teacher, as far as the device has come."""
        self._settle()
        return dict(self._seconds)

    def _settle(self) -> None:
        # ``query`` does not wait; what is not over yet is for the next time.
        while self._open and self._open[0][2].query():
            name, begin, end = self._open.popleft()
            self._add(name, begin.elapsed_time(end) / 1000)

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
