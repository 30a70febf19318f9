# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tables of ``guidances.py``: methods beside KD, at equal weight."""
import json
import os.path as osp
from typing import Dict, List, Optional

import numpy as np
import pandas as pd
from _guidances import METHODS, SETTINGS, Setting

from .markdown import NO_RUNS, table, write_page
from .statistics import mean_sd

PAGE = 'docs/which_guidance.md'
COLUMNS = ('chain', 'method', 'seed', 'epochs', 'best', 'last', 'seconds',
           'test')
_RESULTS = 'configs/dgkd/results'
_HEADS = ('student', 'held-out, %', 'test, %', 'gain over KD',
          'gain over alone', 'predicted by weigh', 'seeds')


def csv_of(chain: str) -> str:
    """The file of a chain, in the checkout.

    Args:
        chain (str): The name of its config.
    """
    return f'{_RESULTS}/{chain}.csv'


def read_rows(path: str) -> pd.DataFrame:
    """The trained students of a chain.

    Args:
        path (str): The CSV.

    Returns:
        DataFrame: ``chain``, ``method``, ``seed``, ``epochs``; ``best`` and
        ``last`` of the validation on held-out images and ``test`` of the test
        images after the last epoch, in percent; and ``seconds``. Empty without
        a file.
    """
    if not osp.exists(path):
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path)
