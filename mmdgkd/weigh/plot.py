# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The figure of teachers: reliability, and NLL by their number."""
import io
from typing import Any, Mapping

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmdgkd.report.plots import STYLE, network_color

_STACK, _MEAN = '#b3261e', '#c77700'


@style.context(STYLE)
def plot_weighed(found: Mapping[str, Any]) -> bytes:
    """Draw two panels: reliability diagrams, and NLL by number of teachers.

    Args:
        found (Mapping): What :func:`weigh` has found.

    Returns:
        bytes: A PNG.
    """
    figure = Figure((8.2, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    _draw_reliability(left, found)
    _draw_numbers(right, found)
    file = io.BytesIO()
    figure.savefig(file, format='png')
    return file.getvalue()


def _draw_reliability(axes: Axes, found: Mapping[str, Any]) -> None:
    axes.set(title='Reliability', xlabel='confidence', ylabel='accuracy')
    axes.plot([0, 1], [0, 1], color='#9aa5b1', linewidth=0.9, ls='--')
    names = list(found['teachers'])
    for i, (name, one) in enumerate(found['teachers'].items()):
        confidence, right, _ = zip(*one['reliability'])
        axes.plot(
            confidence,
            right,
            marker='o',
            markersize=3,
            color=network_color(i, len(names)),
            label=f'{name} ({one["calibration_error"]:.3f})')
    own = found['stack']
    confidence, right, _ = zip(*own['reliability'])
    axes.plot(
        confidence,
        right,
        marker='s',
        markersize=3,
        color=_STACK,
        label=f'stacked ({own["calibration_error"]:.3f})')
    axes.legend(title='calibration error', title_fontsize=8)


def _draw_numbers(axes: Axes, found: Mapping[str, Any]) -> None:
    by_number, best = found['by_number'], found['best']
    numbers = range(1, len(by_number['stack']) + 1)
    for form, color, marker, label in (('mean', _MEAN, 'o', 'mean'),
                                       ('stack', _STACK, 's', 'stacked')):
        axes.plot(
            numbers,
            by_number[form],
            color=color,
            marker=marker,
            markersize=4,
            label=label)
    axes.axhline(
        found['teachers'][best]['nll_calibrated'],
        color='#52606d',
        linewidth=0.9,
        ls='--',
        label=f'{best} alone')
    axes.set(
        title='The first teachers of the chain',
        xlabel='number of teachers',
        ylabel='NLL, calibrated')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
