# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The figures, each made of plain data, whose digest is kept in the PNG.

So it can be seen whether a figure is of these records, though other versions
of Matplotlib draw other bytes.
"""
import hashlib
import io
import json
from functools import partial
from typing import Any, List, Optional

from . import figure_data, plots
from .plot_parts import style
from .results import SETTINGS, Results

_DIGEST = 'mmdgkd-data'
# An inch is 100 of the 800 pixels of a page's width; twice that is sharp.
_DPI = 200

# What each is made of, and how that is drawn.
_FIGURES = {
    'methods': (figure_data.methods, plots.methods),
    'overlap': (figure_data.overlaps, plots.overlaps),
    'number-of-tas': (figure_data.numbers_of_tas, plots.numbers_of_tas),
    'survival': (figure_data.survival, plots.survival),
}
for _setting in SETTINGS:
    _FIGURES[f'learning-curves-{_setting}'] = (partial(
        figure_data.learning_curves, setting=_setting), plots.learning_curves)


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
    if not data:
        return None
    file = io.BytesIO()
    with style():
        figure = plot(data)
        # Without Software the bytes are those of the drawing alone.
        figure.savefig(
            file,
            dpi=_DPI,
            metadata={
                'Software': None,
                _DIGEST: _digest(data)
            })
    return file.getvalue()


def is_current(name: str, results: Results, png: Optional[bytes]) -> bool:
    """Whether a PNG was drawn of these records.

    Args:
        name (str): One of :func:`figure_names`.
        results (Results): All records.
        png (bytes, optional): What is in the file. None: there is none.
    """
    collect, _ = _FIGURES[name]
    data = collect(results)
    if png is None:
        return not data
    if not data:
        return False
    from PIL import Image
    try:
        with Image.open(io.BytesIO(png)) as image:
            return image.info.get(_DIGEST) == _digest(data)
    except OSError:
        return False


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()
