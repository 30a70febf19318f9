# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The figures: the data of each is a pandas frame, empty if runs are missing.

All students of a setting are of one length: that of most of them. The digest
of the data is kept in the PNG: this shows whether a figure is of these
records, though other versions of Matplotlib draw other bytes.
"""
import hashlib
import io
from functools import partial
from typing import List, Optional, Tuple

import pandas as pd

from . import plots
from .results import (PAPER, PAPER_SETTING, PAPER_TAS, SETTINGS, Results,
                      chain_pairs)
from .results import overlaps as all_overlaps
from .results import survival_runs, tas_runs

_DIGEST = 'mmdgkd-data'
# An inch is 100 of the 800 pixels of a page's width; twice that is sharp.
_DPI = 200


def methods(results: Results) -> pd.DataFrame:
    """The best accuracy of each seed, by setting and method."""
    found = _common(results, results.students.dropna(subset='label'))
    found['paper'] = found['label'].map(
        results.paper).astype(float).where(found['setting'] == PAPER_SETTING)
    return found.sort_values(['setting', 'label',
                              'seed'])[['panel', 'label', 'best', 'paper']]


def overlaps(results: Results) -> pd.DataFrame:
    """The errors that pairs of networks share, TAKD's and DGKD's.

    Only settings in which both methods have the last pair, that of the teacher
    and the student.
    """
    found = all_overlaps(results)
    last = found[found['pair'].isin(chain_pairs(results)[-1:])]
    count = last.groupby('setting')['method'].nunique()
    found = found[found['setting'].isin(count[count == 2].index)].copy()
    found['panel'] = found['setting'].map(results.title)
    found['pair'] = pd.Categorical(found['pair'].map(_short_pair),
                                   map(_short_pair, chain_pairs(results)))
    return found.drop(columns=['setting', 'ratio'])


def numbers_of_tas(results: Results) -> pd.DataFrame:
    """The best accuracies by the number of TAs, and of the student alone."""
    found = tas_runs(results)
    alone = results.students[results.students['label'] == 'alone']
    alone = alone[alone['setting'].isin(found['setting'])]
    paper = [(f'{method} paper', count, values[at])
             for count, values in PAPER_TAS.items()
             if count in set(found['tas'])
             for at, method in enumerate(('takd', 'dgkd'))]
    found = pd.concat([found, alone])
    return _by_number(results, found, found['method'], found['tas'], paper)


def survival(results: Results) -> pd.DataFrame:
    """The best accuracies by the survival probability of a teacher.

    Only settings with more than one probability below 1.
    """
    found = survival_runs(results)
    found = found[found['is_common']]
    tried = found[found['keep'] < 1].groupby('setting')['keep'].nunique()
    found = found[found['setting'].isin(tried[tried > 1].index)]
    paper = [('paper', .75, PAPER['dgkd_stochastic']),
             ('paper', 1., PAPER['dgkd'])]
    kind = (found['dropped'] == 'exactly one').map({
        True: 'one',
        False: 'random'
    })
    return _by_number(results, found, kind, found['keep'], paper)


def learning_curves(results: Results, setting: str) -> pd.DataFrame:
    """The accuracy of the students after each epoch, by method."""
    found = results.common(setting).dropna(subset='label')
    found = found.reset_index(drop=True).explode('history').sort_values(
        ['label', 'seed'], kind='stable')
    return found.assign(
        panel=found['setting'].map(results.title),
        epoch=found['history'].str[0],
        accuracy=found['history'].str[1].astype(float))[[
            'panel', 'label', 'seed', 'epoch', 'accuracy'
        ]]


# The data of each, and how that is drawn.
_FIGURES = {
    'methods': (methods, plots.methods),
    'overlap': (overlaps, plots.overlaps),
    'number-of-tas': (numbers_of_tas, plots.numbers_of_tas),
    'survival': (survival, plots.survival),
    **{
        f'learning-curves-{setting}': (partial(
            learning_curves, setting=setting), plots.learning_curves)
        for setting in SETTINGS
    }
}


def figure_names() -> List[str]:
    """The file names of all figures, without ``.png``."""
    return list(_FIGURES)


def draw(name: str, results: Results) -> Optional[bytes]:
    """Draw a figure.

    Args:
        name (str): One of :func:`figure_names`.
        results (Results): All records.

    Returns:
        bytes, optional: The PNG. None if its data is missing.
    """
    collect, plot = _FIGURES[name]
    data = collect(results)
    if data.empty:
        return None
    file = io.BytesIO()
    # Without Software the bytes are those of the drawing alone.
    metadata = {'Software': None, _DIGEST: _digest(data)}
    with plots.style():
        plot(data).savefig(file, dpi=_DPI, metadata=metadata)
    return file.getvalue()


def is_current(name: str, results: Results, png: Optional[bytes]) -> bool:
    """Whether a PNG was drawn of these records.

    Args:
        name (str): One of :func:`figure_names`.
        results (Results): All records.
        png (bytes, optional): The content of the file. None: there is none.
    """
    data = _FIGURES[name][0](results)
    if png is None or data.empty:
        return png is None and data.empty
    from PIL import Image
    try:
        with Image.open(io.BytesIO(png)) as image:
            return image.info.get(_DIGEST) == _digest(data)
    except OSError:
        return False


def _digest(data: pd.DataFrame) -> str:
    text = data.to_csv(index=False, float_format='%.6g')
    return hashlib.sha256(text.encode()).hexdigest()


def _common(results: Results, students: pd.DataFrame) -> pd.DataFrame:
    found = students[students['is_common']].sort_values(['setting', 'seed'],
                                                        kind='stable')
    return found.assign(panel=found['setting'].map(results.title))


def _by_number(results: Results, students: pd.DataFrame, kind: pd.Series,
               x: pd.Series, paper: List[Tuple]) -> pd.DataFrame:
    """The data of :func:`plots._by_number`, the paper's in its panel."""
    found = _common(results, students.assign(kind=kind, x=x))
    columns = ['panel', 'kind', 'x', 'best']
    if results.is_papers and (found['setting'] == PAPER_SETTING).any():
        title = results.title(PAPER_SETTING)
        more = pd.DataFrame([(title, *row) for row in paper], columns=columns)
        found = pd.concat([found, more])
    return found[columns]


def _short_pair(pair: Tuple[str, str]) -> str:
    """The part of two names that differs, such as ``10→8``."""
    digits = [''.join(filter(str.isdigit, name)) for name in pair]
    return '→'.join(digits if all(digits) else pair)
