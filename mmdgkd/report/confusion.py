# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The confusion matrices of teacher and student, as pictures."""
import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .comparison import Comparison
from .plots import STYLE, Panel, new_axes, panel_of

# So many classes have names and numbers in the picture; beyond the second
# limit a class is less than a pixel, and the tables say it all.
_NAMED, _DRAWN = 20, 200
_NAME = 14  # letters


@style.context(STYLE)
def plot_confusion(comparison: Comparison, name: str) -> list[Panel]:
    """Draw the matrix of each network, by the same colours.

    Args:
        comparison (Comparison): The matrices.
        name (str): The beginning of the names of the files.

    Returns:
        list[Panel]: None for more than 200 classes.
    """
    classes = comparison.classes
    if not comparison.matrices or len(classes) > _DRAWN:
        return []
    shares = [
        matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        for matrix in comparison.matrices
    ]
    off_diagonal = ~np.eye(len(classes), dtype=bool)
    errors = np.stack(shares)[:, off_diagonal]
    # Rare cells alone would leave the others white.
    high = max(np.quantile(errors, 0.999), 1e-3) if errors.size else 1
    panels = []
    for i, (network, matrix, share) in enumerate(
            zip(comparison.names, comparison.matrices, shares), 1):
        axes = new_axes(4.04, 3.3)
        right = f'{np.trace(matrix) / max(matrix.sum(), 1):.1%}'
        axes.set(
            title=f'{network}: {right} right',
            xlabel='predicted class',
            ylabel='true class')
        axes.grid(False)
        _draw(axes, matrix, share, off_diagonal, high)
        _label(axes, classes)
        alt = (f'Confusion matrix of {network}, {len(classes)} classes: '
               f'{right} of {matrix.sum():,} images are right.')
        panels.append(panel_of(f'{name}_{i}', alt, axes))
    return panels


def _draw(axes: Axes, matrix: np.ndarray, share: np.ndarray,
          off_diagonal: np.ndarray, high: float) -> None:
    # What is right is gray, so that it does not outshine the errors.
    axes.imshow(
        np.where(off_diagonal, np.nan, share),
        cmap='Greys',
        vmin=-0.1,
        vmax=2.2,
        interpolation='nearest')
    image = axes.imshow(
        np.where(off_diagonal, share, np.nan),
        cmap=colormaps['OrRd'],
        vmin=0,
        vmax=high,
        interpolation='nearest')
    bar = axes.figure.colorbar(
        image, ax=axes, shrink=0.7, extend='max', aspect=30)
    bar.set_label('errors, share of the true class', fontsize=7.5)
    bar.ax.yaxis.set_major_formatter(
        PercentFormatter(1, 0 if high > 0.03 else 1))
    bar.ax.tick_params(labelsize=7)
    if len(matrix) <= _NAMED:
        for row, column in np.argwhere(matrix):
            dark = off_diagonal[row, column] and share[row,
                                                       column] > 0.6 * high
            axes.text(
                column,
                row,
                matrix[row, column],
                ha='center',
                va='center',
                fontsize=8 if len(matrix) <= 12 else 5.5,
                color='white' if dark else '#1f2933')


def _label(axes: Axes, classes: list[str]) -> None:
    if len(classes) > _NAMED:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        return
    names = [
        name if len(name) <= _NAME else f'{name[:_NAME - 1]}…'
        for name in classes
    ]
    places = range(len(names))
    size = 7.5 if len(names) <= 12 else 6.5
    long = max(map(len, names)) > 2
    axes.set_xticks(places, names, fontsize=size, rotation=90 if long else 0)
    axes.set_yticks(places, names, fontsize=size)
