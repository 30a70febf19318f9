# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``programs.json``: the exported programs of a network, for reports."""
import json
import os.path as osp
from dataclasses import asdict, dataclass
from typing import Dict, Optional

from .files import atomic_write, parse_json

FILE = 'programs.json'


@dataclass(frozen=True)
class Latency:
    """How long a program takes for one image, by one thread.

    Attributes:
        median (float): Milliseconds.
        low (float): The 10th percentile of the calls, likewise.
        high (float): The 90th.
        calls (int): Number of calls.
        device (str): The name of the processor.
    """

    median: float
    low: float
    high: float
    calls: int
    device: str


@dataclass(frozen=True)
class ProgramRecord:
    """What is known of a program.

    Attributes:
        format (str): ``'pt2'``, ``'onnx'`` or ``'executorch'``.
        size (int): Bytes of the file.
        error (float): The largest difference of a logit from the network's.
        weights (str): The sha256 of the file of the network's weights, or its
            address.
        latency (Latency, optional): Defaults to None: not measured.
    """

    format: str
    size: int
    error: float
    weights: str
    latency: Optional[Latency] = None


def add_programs(folder: str, programs: Dict[str, ProgramRecord]) -> None:
    """Add programs to the file of a network, atomically.

    Those of before stay where they were made from the same weights. What
    cannot be read is replaced.

    Args:
        folder (str): The folder of the network.
        programs (dict[str, ProgramRecord]): By the name of the file.
    """
    try:
        before = read_programs(folder)
    except ValueError:
        before = {}
    weights = {one.weights for one in programs.values()}
    whole = {
        name: one
        for name, one in before.items() if one.weights in weights
    } | programs
    with atomic_write(osp.join(folder, FILE)) as file:
        json.dump({
            name: asdict(one)
            for name, one in whole.items()
        },
                  file,
                  indent=2)


def read_programs(folder: str) -> Dict[str, ProgramRecord]:
    """Read the file of a network.

    Args:
        folder (str): The folder of the network.

    Returns:
        dict[str, ProgramRecord]: By the name of the file; empty if there is
        none.

    Raises:
        ValueError: If it is damaged or holds anything else.
    """
    path = osp.join(folder, FILE)
    if not osp.isfile(path):
        return {}
    try:
        with open(path, encoding='utf-8') as file:
            found = parse_json(file.read())
        return {str(name): _record(one) for name, one in found.items()}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else 'it is empty'
        raise ValueError(f'{FILE} cannot be read ({reason})') from None


def _record(entry: dict) -> ProgramRecord:
    latency = entry['latency']
    if latency is not None:
        latency = Latency(
            *(float(latency[key]) for key in ('median', 'low', 'high')),
            int(latency['calls']), str(latency['device']))
    return ProgramRecord(
        str(entry['format']), int(entry['size']), float(entry['error']),
        str(entry['weights']), latency)
