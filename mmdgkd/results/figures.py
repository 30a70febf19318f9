# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The figures, each made of plain data, whose digest is kept in the PNG.

So it can be seen whether a figure is of these records, though other versions
of Matplotlib draw other bytes.
"""
import hashlib
import io
import json
from typing import Any, Callable, Dict, Optional

from . import figure_data, plots
from .plot_parts import style
from .results import SETTINGS, Results

_DIGEST = 'mmdgkd-data'
# An inch is 100 of the 800 pixels of a page's width; twice that is sharp.
_DPI = 200


def figure_names() -> Dict[str, Callable[[Results], Any]]:
    """What each figure is made of, by its file name without ``.png``.

    Returns:
        dict[str, Callable]: Gives the data of a figure, empty if it is
        missing.
    """
    names: Dict[str, Callable[[Results], Any]] = {
        'methods': figure_data.methods,
        'overlap': figure_data.overlaps,
        'number-of-tas': figure_data.numbers_of_tas,
        'survival': figure_data.survival,
    }
    for setting in SETTINGS:
        names[f'learning-curves-{setting}'] = (
            lambda results, setting=setting: figure_data.learning_curves(
                results, setting))
    return names


def draw(name: str, results: Results) -> Optional[bytes]:
    """Draw a figure.

    Args:
        name (str): One of :func:`figure_names`.
        results (Results): All records.

    Returns:
        bytes, optional: The PNG. None if its data is missing.
    """
    data = figure_names()[name](results)
    if not data:
        return None
    plot = {
        'methods': plots.methods,
        'overlap': plots.overlaps,
        'number-of-tas': plots.numbers_of_tas,
        'survival': plots.survival,
    }.get(name, plots.learning_curves)
    file = io.BytesIO()
    with style():
        figure = plot(data)
        # Without Software the bytes are those of the drawing alone.
        figure.savefig(
            file, dpi=_DPI, metadata={
                'Software': None,
                _DIGEST: digest(data)
            })
    return file.getvalue()


def is_current(name: str, results: Results, png: Optional[bytes]) -> bool:
    """Whether a PNG was drawn of these records.

    Args:
        name (str): One of :func:`figure_names`.
        results (Results): All records.
        png (bytes, optional): What is in the file. None: there is none.
    """
    data = figure_names()[name](results)
    if png is None:
        return not data
    if not data:
        return False
    from PIL import Image
    try:
        with Image.open(io.BytesIO(png)) as image:
            return image.info.get(_DIGEST) == digest(data)
    except OSError:
        return False


def digest(data: Any) -> str:
    """The sha256 of a figure's data.

    Args:
        data (Any): Mappings, lists, numbers and words.
    """
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()
