# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Compressed networks with and without teachers, side by side."""
import json
import os.path as osp
from typing import Any, Dict, List, Mapping, Sequence

import pandas as pd

from mmdgkd.errors import ConfigError
from .markdown import NO_RUNS, table
from .statistics import difference, mean_sd

KEYS = dict(
    network=str,
    guides=list,
    seed=int,
    epochs=int,
    params=int,
    macs=int,
    best=float,
    last=float,
    seconds=float,
    sha256=str)


def read_runs(path: str) -> List[Dict[str, Any]]:
    """Read the trained networks of a file.

    Args:
        path (str): A JSON list of objects with the keys of :data:`KEYS`. No
            file is no networks.

    Raises:
        ConfigError: If it is something else.
    """
    if not osp.exists(path):
        return []
    try:
        with open(path, encoding='utf-8') as file:
            runs = json.load(file)
    except ValueError as error:
        raise ConfigError(f'{path}: is no JSON: {error}') from None
    for run in runs if isinstance(runs, list) else [None]:
        for key, kind in KEYS.items():
            found = run.get(key) if isinstance(run, dict) else None
            if type(found) is not kind:
                raise ConfigError(f'{path}: {key}: {found!r}; should be '
                                  f'{kind.__name__} in each trained network')
    return runs


def runs_of(ledger: Mapping, epochs: Mapping[str, int]) -> List[Dict]:
    """The trained networks of a work dir.

    Args:
        ledger (Mapping): Its ``chain.json``.
        epochs (Mapping[str, int]): The length of each stage.
    """
    return [
        dict(
            network=name,
            guides=entry['guides'],
            seed=ledger['seed'],
            epochs=epochs[name],
            params=entry['params'],
            macs=entry['macs'],
            best=round(entry['metric']['best'], 4),
            last=round(entry['metric']['last'], 4),
            seconds=float(entry['seconds']),
            sha256=entry['wrote']['sha256'])
        for name, entry in ledger['stages'].items()
        if entry['state'] == 'done' and entry.get('metric')
    ]


def merged(runs: Sequence[Dict], more: Sequence[Dict]) -> List[Dict]:
    """The runs of both, the later ones in the place of the same earlier ones.

    Args:
        runs (Sequence[dict]): The earlier ones.
        more (Sequence[dict]): The later ones.
    """
    found = {
        (run['network'], tuple(run['guides']), run['seed']): run
        for run in (*runs, *more)
    }
    return list(found.values())


def compressed_table(runs: Sequence[Mapping]) -> str:
    """Each network with teachers and without.

    Args:
        runs (Sequence[Mapping]): As :func:`read_runs` gives them.

    Returns:
        str: In Markdown: accuracy after the last epoch, mean and sample
        standard deviation over the seeds, and the gain by the teachers.
    """
    if not runs:
        return NO_RUNS
    rows = []
    for name, mine in pd.DataFrame(runs).groupby('network', sort=False):
        last = mine.set_index('seed')['last']
        distilled = mine.set_index('seed')['guides'].map(bool)
        sides = [last[~distilled], last[distilled]]
        # A search may end with another network for each seed.
        sizes = [
            ' to '.join(f'{size:,}'
                        for size in sorted({mine[key].min(), mine[key].max()}))
            for key in ('params', 'macs')
        ]
        rows.append([
            name, *sizes, ', '.join(max(mine['guides'], key=len)) or '-',
            *map(mean_sd, sides),
            str(difference(*reversed(sides))
                or '-'), '/'.join(str(len(side)) for side in sides)
        ])
    heads = ('network', 'parameters', 'MACs', 'teachers', 'without',
             'distilled', 'gain', 'seeds')
    return table(heads, rows)
