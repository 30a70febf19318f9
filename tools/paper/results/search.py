# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Settings of the KD, compared on held-out training images."""
import json
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pandas as pd

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write
from mmdgkd.report.methods import METHOD_STYLES
from .markdown import NO_RUNS, table
from .statistics import mean_sd

# What makes two rows the same run, with the types that they may have.
_IDENTITY: Dict[str, Tuple[type, ...]] = dict(
    method=(str, ),
    loss_weight=(int, float, type(None)),
    tau=(int, float, type(None)),
    seed=(int, ),
    held_out=(int, ),
    options=(str, ))
_FIGURES: Dict[str, Tuple[type, ...]] = dict(
    epochs=(int, ), best=(int, float), last=(int, float))


def row_of(entry: Dict,
           method: str,
           seed: int,
           held_out: int,
           options: str = '',
           loss_weight: Optional[float] = None,
           tau: Optional[float] = None) -> Dict[str, Any]:
    """The row of one run.

    Args:
        entry (dict): The stage in the ledger of its chain.
        method (str): As in :class:`~results.record.Record`.
        seed (int): Of the training.
        held_out (int): So many of the first training images measure it.
        options (str): Its differences to the setting. Defaults to ''.
        loss_weight (float, optional): The weight of its KD. Defaults to None:
            it has no teacher.
        tau (float, optional): The temperature. Defaults to None.
    """
    metric = entry['metric']
    return dict(
        method=method,
        loss_weight=loss_weight,
        tau=tau,
        seed=seed,
        held_out=held_out,
        options=options,
        epochs=metric['history'][-1][0],
        best=round(metric['best'], 4),
        last=round(metric['last'], 4))


def read_rows(path: str) -> List[Dict[str, Any]]:
    """Read the rows of a search.

    Args:
        path (str): The file, one JSON object a line. An absent one has none.

    Raises:
        ConfigError: If a line is no row; file and line are named.
    """
    if not osp.exists(path):
        return []
    rows = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigError(
                    f'{path}: line {number} is not JSON: {error}') from None
            for key, types in {**_IDENTITY, **_FIGURES}.items():
                value = row.get(key, row) if isinstance(row, dict) else row
                if type(value) not in types:
                    names = ' or '.join(
                        'null' if kind is type(None) else kind.__name__
                        for kind in types)
                    raise ConfigError(f'{path}: line {number}: {key} should '
                                      f'be {names}')
            rows.append(row)
    return rows


def add_row(path: str, row: Dict[str, Any]) -> None:
    """Add the row of a run, or replace the older one of the same run.

    Args:
        path (str): The file. Its folder is made if need be.
        row (dict): The row.

    Raises:
        ConfigError: If the file is no search.
    """
    rows = [old for old in read_rows(path) if _identity(old) != _identity(row)]
    with atomic_write(path) as file:
        for one in (*rows, row):
            file.write(json.dumps(one) + '\n')


def search_table(rows: Sequence[Dict[str, Any]]) -> str:
    """The accuracy after the last epoch: methods against settings of the KD.

    Args:
        rows (Sequence[dict]): As :func:`read_rows` gives them.
    """
    if not rows:
        return NO_RUNS
    frame = pd.DataFrame(rows).fillna(dict(loss_weight=0, tau=0))
    methods = {
        name: style.label
        for name, style in METHOD_STYLES.items()
        if (frame['method'] == name).any()
    }
    lines = []
    # Runs of other lengths, images or options are never averaged.
    for key, group in frame.groupby(
        ['held_out', 'epochs', 'options', 'loss_weight', 'tau']):
        held_out, epochs, options, weight, tau = key
        lines.append([
            f'{weight:g}' if weight else '-', f'{tau:g}' if tau else '-',
            *(mean_sd(group[group['method'] == name]['last'])
              for name in methods),
            str(epochs), f'{held_out:,}', options or '-'
        ])
    heads = ['λ', 'tau', *methods.values(), 'epochs', 'held out', 'options']
    note = ('Top-1 accuracy after the last epoch on held-out training images, '
            'which the student has not seen; its teachers were trained on '
            'them, but do not run on them here. λ: weight of the KD, the '
            'labels have the rest of 1. ±: sample standard deviation over the '
            'seeds.')
    return f'{table(heads, lines)}\n\n{note}'


def _identity(row: Dict[str, Any]) -> Tuple:
    return tuple(row[key] for key in _IDENTITY)
