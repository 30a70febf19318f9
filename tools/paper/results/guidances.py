# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables of ``guidances.py``: methods beside KD, at equal weight."""
import json
import os.path as osp
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import pandas as pd
from _guidances import METHODS, RUNS, SETTINGS, Method, Setting

from .markdown import NO_RUNS, table, write_page
from .statistics import mean_sd

PAGE = 'docs/which_guidance.md'
COLUMNS = ('chain', 'method', 'seed', 'epochs', 'best', 'last', 'seconds',
           'test')
_RESULTS = 'configs/dgkd/results'
_HEADS = ('student', 'held-out, %', 'test, %', 'over alone', 'over KD',
          'over KD, held out', 'its control', 'over it', 'seeds',
          'NLL of its teachers')
# From so many seeds on a difference is marked.
_SEEDS = 5


def csv_of(setting: Setting) -> str:
    """The file of a setting, in the checkout."""
    return f'{_RESULTS}/{setting.results}.csv'


def weighed_of(setting: Setting) -> str:
    """The file of what ``mmdgkd weigh`` says of a setting's teachers."""
    return f'{_RESULTS}/{setting.results}_weigh.json'


def read_rows(path: str) -> pd.DataFrame:
    """The trained networks of a chain.

    Args:
        path (str): The CSV.

    Returns:
        DataFrame: ``chain``, ``method``, ``seed``, ``epochs``; ``best`` and
        ``last`` of the validation on held-out training images, and ``test`` of
        the test images after the last epoch, in percent (empty for teachers);
        and ``seconds``. Empty without a file.
    """
    if not osp.exists(path):
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path)


def read_weighed(path: str) -> Dict[str, Any]:
    """What ``mmdgkd weigh`` says, by the teachers of a method.

    Args:
        path (str): The JSON.

    Returns:
        dict[str, Any]: Empty without a file.
    """
    if not osp.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def key_of(teachers: Tuple[str, ...]) -> str:
    """The key of teachers in that file."""
    return ' '.join(teachers)


class Paired:
    """The difference of two methods over the seeds that both have.

    Paired: a seed has the same initial weights and the same order of images.

    Args:
        one (Series): A value for each seed, which is the index.
        other (Series): What is subtracted.

    Attributes:
        mean (float): The mean difference.
        error (float, optional): Its standard error; None for one seed.
        n (int): The number of seeds.
    """

    def __init__(self, one: pd.Series, other: pd.Series) -> None:
        both = pd.concat([one, other], axis=1, join='inner').to_numpy(float)
        self.n, self.mean, self.error = len(both), np.nan, None
        if self.n:
            gains = both[:, 0] - both[:, 1]
            self.mean = float(gains.mean())
            if self.n > 1:
                self.error = float(gains.std(ddof=1) / self.n**.5)

    @property
    def is_separable(self) -> bool:
        """Whether it is more than two standard errors, of enough seeds."""
        return self.n >= _SEEDS and abs(self.mean) > 2 * self.error

    def __str__(self) -> str:
        """Such as ``+0.72 (0.17)*``; a dash without a common seed."""
        if not self.n:
            return '-'
        error = '' if self.error is None else f' ({self.error:.2f})'
        return f'{self.mean:+.2f}{error}' + '*' * self.is_separable


def students_table(setting: Setting, rows: pd.DataFrame,
                   weighed: Mapping[str, Any]) -> str:
    """The students of a setting, by method.

    Args:
        setting (Setting): The setting.
        rows (DataFrame): Of :func:`read_rows`.
        weighed (Mapping): Of :func:`read_weighed`.

    Returns:
        str: In Markdown.
    """
    found = {
        name: mine.set_index('seed')
        for name, mine in rows.groupby('method')
    }
    lines: List[List[str]] = []
    for name, method in METHODS.items():
        if name not in found:
            continue
        mine = found[name]

        def over(other: str, column: str = 'test') -> str:
            if other == name or other not in found:
                return '-'
            return str(Paired(mine[column], found[other][column]))

        control = method.baseline
        has_own = control not in ('kd', 'alone') and control in found
        words = method.words + ('' if method.equal else ' †')
        lines.append([
            words,
            mean_sd(mine['last']),
            mean_sd(mine['test']),
            over('alone'),
            over('kd'),
            over('kd', 'last'), METHODS[control].words if has_own else '-',
            over(control) if has_own else '-',
            str(len(mine)),
            _prediction(method, weighed.get(key_of(setting.teachers(method))))
        ])
    return table(_HEADS, lines) if lines else NO_RUNS


def _prediction(method: Method, weighed: Optional[Mapping]) -> str:
    """The NLL of what the student learns from, calibrated, if it is known."""
    if not weighed or not method.estimate:
        return '-'
    return f'{weighed[method.estimate]["nll_calibrated"]:.3f}'


def teachers_table(setting: Setting, rows: pd.DataFrame) -> str:
    """The teachers of a setting, by run.

    Args:
        setting (Setting): The setting.
        rows (DataFrame): Of :func:`read_rows`.

    Returns:
        str: In Markdown.
    """
    lines = []
    for row in rows.itertuples():
        run, slash, network = row.method.partition('/')
        if slash:
            lines.append([
                network, run, RUNS[run].guidance,
                str(_fold_of(setting, run, network)), f'{row.last:.2f}',
                str(row.epochs),
                str(row.seed)
            ])
    return table(('network', 'run', 'guidance', 'fold left out', 'held-out, %',
                  'epochs', 'seed'), lines) if lines else NO_RUNS


def _fold_of(setting: Setting, run: str, network: str) -> Any:
    if network not in setting.names:  # a snapshot
        return '-'
    return RUNS[run].folds.get(setting.names.index(network), '-')


def tables_of(root: str) -> Dict[str, str]:
    """The blocks of the page, for each setting that was run.

    Args:
        root (str): The checkout.
    """
    blocks = {}
    for name, setting in SETTINGS.items():
        rows = read_rows(osp.join(root, csv_of(setting)))
        if rows.empty:
            continue
        weighed = read_weighed(osp.join(root, weighed_of(setting)))
        blocks[f'guidances-{name}'] = students_table(setting, rows, weighed)
        blocks[f'guidances-{name}-teachers'] = teachers_table(setting, rows)
    return blocks


def write_tables(root: str) -> None:
    """Write the tables into the page.

    Args:
        root (str): The checkout.
    """
    if write_page(root, PAGE, tables_of(root)):
        print(f'{PAGE}: written')
