# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables of ``measure.py``: methods beside their baselines."""
import os.path as osp
from typing import Dict, Iterable, List

import pandas as pd
from _measurements import MEASUREMENTS

from .markdown import NO_RUNS, table, write_page
from .statistics import difference, mean_sd

CSV, PAGE = 'configs/results.csv', 'configs/RESULTS.md'
_HEADS = ('ResNet-8 by', 'top-1, %', 'baseline', 'difference', 'seeds',
          'epochs', 'command', 'mark')
# That are enough to be called measured.
_SEEDS = 3


def read_rows(root: str) -> pd.DataFrame:
    """The trained networks.

    Args:
        root (str): The checkout.

    Returns:
        DataFrame: ``measurement``, ``seed``, ``epochs``, ``top1`` (after the
        last epoch, in percent) and ``seconds``; empty without a file.
    """
    path = osp.join(root, CSV)
    if not osp.exists(path):
        return pd.DataFrame(
            columns=['measurement', 'seed', 'epochs', 'top1', 'seconds'])
    return pd.read_csv(path)


def measured_table(rows: pd.DataFrame,
                   names: Iterable[str],
                   configs: str = '') -> str:
    """Each measurement beside its baseline.

    Args:
        rows (DataFrame): Of :func:`read_rows`.
        names (Iterable[str]): The measurements.
        configs (str): The folder ``configs`` in a link of the page. Defaults
            to ``''``: that of the page.

    Returns:
        str: In Markdown: mean and sample standard deviation over the seeds,
        the difference with its standard error, and whether that is of enough
        seeds.
    """
    found: Dict[str, pd.Series] = {
        name: mine.set_index('seed')['top1']
        for name, mine in rows.groupby('measurement')
    }
    lines: List[List[str]] = []
    for name in names:
        if name not in found:
            continue
        one, gain = MEASUREMENTS[name], None
        if one.baseline in found:
            gain = difference(found[name], found[one.baseline])
        mark = 'measured' if gain and gain.n >= _SEEDS else 'first look'
        lines.append([
            f'[{one.words}]({configs}{one.card}/README.md)',
            mean_sd(found[name]), f'`{one.baseline}`' if one.baseline else '-',
            str(gain or '-'),
            str(len(found[name])),
            str(one.epochs), f'`measure.py {name}`',
            mark if one.baseline else '-'
        ])
    return table(_HEADS, lines) if lines else NO_RUNS


def write_pages(root: str) -> None:
    """Write the tables of the page and of the cards.

    Args:
        root (str): The checkout.
    """
    rows = read_rows(root)
    for page, tables in tables_of(rows).items():
        write_page(root, page, tables)


def tables_of(rows: pd.DataFrame) -> Dict[str, Dict[str, str]]:
    """The blocks of all pages.

    Args:
        rows (DataFrame): Of :func:`read_rows`.

    Returns:
        dict[str, dict[str, str]]: By page, then by block.
    """
    pages = {PAGE: dict(measured=measured_table(rows, MEASUREMENTS))}
    cards: Dict[str, Dict[str, None]] = {}
    for name, one in MEASUREMENTS.items():
        if one.baseline:
            # Beside what it is compared with.
            cards.setdefault(one.card, {}).update({
                one.baseline: None,
                name: None
            })
    for card, names in cards.items():
        pages[f'configs/{card}/README.md'] = dict(
            measured=measured_table(rows, names, '../'))
    return pages
