# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the figures have in common: colours, marks, sizes.

Sizes are for a page of 800 pixels. Colours are those of Okabe and Ito, which
colour-blind people tell apart; nothing is told by colour alone.
"""
import contextlib
from statistics import fmean
from typing import Any, Iterator, List, Sequence, Tuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .results import METHODS

_COLOURS = {
    'alone': '#555555',
    'KD': '#E69F00',
    'TAKD': '#0072B2',
    'DGKD': '#D55E00',
    'stochastic DGKD': '#009E73',
}
_MARKERS = {'KD': '^', 'TAKD': 's', 'DGKD': 'o', 'stochastic DGKD': 'D'}
# By the labels of the methods; a control has those of its method.
COLOURS = {method.label: _COLOURS[method.name] for method in METHODS}
MARKERS = {method.label: _MARKERS.get(method.name, '') for method in METHODS}
CONTROLS = {method.label for method in METHODS if method.is_control}
LABELS = {'takd': 'TAKD', 'dgkd': 'DGKD'}
BEST = 'best top-1 accuracy on the test images (%)'


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Settings of Matplotlib for these figures, for a while."""
    with rc_context({
            'font.size': 9,
            'axes.titlesize': 9.5,
            'axes.spines.top': False,
            'axes.spines.right': False,
            'axes.axisbelow': True,
            'axes.grid': True,
            'grid.color': '#E4E4E4',
            'grid.linewidth': 0.7,
            'legend.frameon': False,
            'legend.fontsize': 8.5,
            'lines.linewidth': 1.6,
    }):
        yield


def side_by_side(titles: Sequence[str], below: str,
                 above: str) -> Tuple[Figure, Sequence[Axes]]:
    """Panels that show the best accuracy.

    Args:
        titles (Sequence[str]): Of the panels.
        below (str): What is to the right in all of them.
        above (str): The title of the figure.
    """
    count = len(titles)
    figure = Figure((8 if count > 1 else 6, 3.4), layout='constrained')
    axes = figure.subplots(1, count, squeeze=False)[0]
    for ax, title in zip(axes, titles):
        # Three are too narrow for a title in one line.
        ax.set_title(
            title.replace(', ', '\n', 1) if count > 2 else title, loc='left')
    # The axis is too short for it in one line, too.
    axes[0].set_ylabel(BEST.replace(' on ', '\non '))
    figure.supxlabel(below, fontsize=9)
    figure.suptitle(above, fontsize=11)
    return figure, axes


def line_of_means(ax: Axes,
                  points: Sequence[Sequence[Any]],
                  shift: float,
                  label: str,
                  colour: str,
                  marker: str = '') -> None:
    """Points for seeds, and a line through their means."""
    points = [(x + shift, values) for x, values in points if values]
    for x, values in points:
        ax.plot(
            [x] * len(values),
            values,
            marker or MARKERS[label],
            color=colour,
            markersize=4.5,
            alpha=.7)
    ax.plot([x for x, _ in points], [fmean(values) for _, values in points],
            color=colour,
            marker='_',
            markersize=12,
            label=label)


def add_keys(figure: Figure, ax: Axes, keys: Sequence[Tuple]) -> None:
    """What the marks mean, below the figure."""
    handles = [
        ax.plot([], [],
                marker,
                color=colour,
                markeredgecolor='#888888' if colour == 'none' else colour,
                markersize=size,
                markeredgewidth=width,
                label=label)[0] for marker, colour, size, width, label in keys
    ]
    figure.legend(
        handles=handles, loc='outside lower center', ncols=len(handles))


def spread(y: float, count: int) -> List[float]:
    """Points that would hide each other, side by side."""
    return [y + .16 * (at - (count - 1) / 2) for at in range(count)]


def short_pair(pair: Sequence[str]) -> str:
    """Short: the part of the names that differs, such as ``10→8``."""
    digits = [''.join(c for c in name if c.isdigit()) for name in pair]
    return '→'.join(digits if all(digits) else pair)
