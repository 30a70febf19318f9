# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Compressed networks with and without guidance, side by side."""
import json
import os.path as osp
from typing import Any, Dict, List, Mapping, Sequence

from mmdgkd.errors import ConfigError
from .markdown import NO_RUNS, cell, gain, table
from .statistics import difference, summarize

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

    Returns:
        list[dict]: They.

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
    """What a work dir adds to them.

    Args:
        ledger (Mapping): Its ``chain.json``.
        epochs (Mapping[str, int]): How long each stage was.

    Returns:
        list[dict]: One for each stage that was trained there.
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
    """Each network with guides and without.

    Args:
        runs (Sequence[Mapping]): As :func:`read_runs` gives them.

    Returns:
        str: In Markdown: accuracy after the last epoch, mean and sample
        standard deviation over the seeds, and what guidance adds.
    """
    if not runs:
        return NO_RUNS
    rows = []
    for name in dict.fromkeys(run['network'] for run in runs):
        mine = [run for run in runs if run['network'] == name]
        sides = {
            guided: {
                run['seed']: run['last']
                for run in mine if bool(run['guides']) is guided
            }
            for guided in (False, True)
        }
        longest = max((run['guides'] for run in mine), key=len)
        # A search may end with another network for each seed.
        sizes = [
            ' to '.join(dict.fromkeys(f'{number:,}' for number in ends))
            for ends in ((min(values), max(values))
                         for values in ([run[key] for run in mine]
                                        for key in ('params', 'macs')))
        ]
        rows.append([
            name, *sizes, ', '.join(longest) or '-',
            *(cell(summarize(sides[guided].values()))
              for guided in (False, True)),
            gain(difference(sides[True], sides[False])),
            '/'.join(str(len(sides[guided])) for guided in (False, True))
        ])
    heads = ('network', 'parameters', 'MACs', 'guides', 'without', 'guided',
             'gain', 'seeds')
    return table(heads, rows)
