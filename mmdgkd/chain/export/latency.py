# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How long a program takes on this processor."""
import time
from typing import Callable

import numpy as np
import torch

from mmdgkd.chain.environment import cpu_name
from mmdgkd.fileio.programs import Latency

# The calls that are measured take so long together, after the first ones.
_SECONDS, _FIRST = 1., 0.2
_LEAST_CALLS = 20


def measure_latency(load: Callable[[], Callable],
                    image: torch.Tensor) -> Latency:
    """Time a program, by one thread.

    Args:
        load (Callable): Loads the program: a function from images to logits.
        image (Tensor): One image, shape (1, C, H, W).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = load()
        with torch.inference_mode():
            _calls(run, image, _FIRST)
            times = 1000 * np.array(_calls(run, image, _SECONDS, _LEAST_CALLS))
        device = cpu_name()
    finally:
        torch.set_num_threads(threads)
    low, median, high = np.percentile(times, (10, 50, 90))
    return Latency(float(median), float(low), float(high), len(times), device)


def _calls(run: Callable,
           image: torch.Tensor,
           seconds: float,
           least: int = 1) -> list:
    """The seconds of each call."""
    times: list = []
    begin = time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return times
