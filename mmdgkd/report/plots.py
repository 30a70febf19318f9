# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The three plots of a report: accuracy, learning curves and times.

A plot is a list of small panels, each drawn once. The page puts as many of
them side by side as fit its width.
"""
import base64
import io
import math
import os.path as osp
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from sklearn.isotonic import isotonic_regression

from .formatting import (format_duration, format_list, format_metric,
                         format_number, format_progress, format_short, unit_of)
from .groups import Group, Levels, Time, Variant
from .methods import styles_of
from .records import Stage

STYLE = osp.join(osp.dirname(__file__), 'plots.mplstyle')
_INK, _FAINT, _TIME = '#1f2933', '#52606d', '#4a7ba6'
# Letters of a legend in the width of a picture.
_LETTERS = 62
_COSTS = {'macs': 'MACs per image', 'params': 'parameters'}
_DASHES = ((6, 2), (2, 2), (6, 2, 1, 2), (1, 1), (9, 3), (4, 1, 1, 1, 1, 1))


@dataclass(frozen=True)
class Panel:
    """A picture: the name of its file, its alternative text, its PNG."""

    name: str
    alt: str
    width: int  # CSS pixels
    png: bytes

    @property
    def data_uri(self) -> str:
        """The picture within a page."""
        return f'data:image/png;base64,{base64.b64encode(self.png).decode()}'


def _wrapped(label: str) -> str:
    return '\n'.join(textwrap.wrap(label, _LETTERS - 8)) or label


def network_color(place: int, total: int) -> str:
    """The colour of a network: the larger, the darker.

    Args:
        place (int): Of the network in its chain, from 0.
        total (int): Number of networks.
    """
    return to_hex(colormaps['viridis'](0.08 +
                                       0.36 * place / max(1, total - 1)))


def new_axes(width: float, height: float) -> Axes:
    """A plot of such a size, in inches of 120 CSS pixels."""
    return Figure((width, height), layout='constrained').subplots()


def panel_of(name: str, alt: str, axes: Axes) -> Panel:
    """A drawn plot as a picture."""
    file = io.BytesIO()
    axes.figure.savefig(file, format='png')
    return Panel(name, alt, round(120 * axes.figure.get_figwidth()),
                 file.getvalue())


@style.context(STYLE)
def plot_accuracy(groups: Sequence[Group], metric: str) -> list[Panel]:
    """Draw the metric of each network by method, against each known cost."""
    shown = [group for group in groups if group.done]
    values = format_list(f'{group.network} {group.method} {group.last} '
                         f'(n={len(group.done)})' for group in shown)
    panels = []
    for key, label in _COSTS.items():
        by_cost: dict[float, list[Group]] = {}
        for group in shown:
            cost = getattr(group.first, key)
            if cost:
                by_cost.setdefault(cost, []).append(group)
        if by_cost:
            axes = new_axes(4.04, 3.6)
            axes.set(xlabel=label, ylabel=metric)
            _draw_accuracy(axes, by_cost)
            if unit_of(metric):
                axes.set_ylim(top=min(axes.get_ylim()[1], 100.4))
            alt = f'{metric} against {label}: {values}.'
            panels.append(panel_of(f'accuracy_{key}', alt, axes))
    return panels


def _draw_accuracy(axes: Axes, by_cost: dict[float, list[Group]]) -> None:
    low, high = min(by_cost), max(by_cost)
    span = max(high / low, 1.5)
    groups = [group for some in by_cost.values() for group in some]
    styles, handles = styles_of(group.method for group in groups), {}
    for place, (cost, members) in enumerate(sorted(by_cost.items())):
        for i, group in enumerate(members):
            # Side by side where they cost the same.
            x = cost * span**(0.026 * (i - (len(members) - 1) / 2))
            looks = dict(
                color=styles[group.method].color,
                marker=styles[group.method].marker)
            bar = axes.errorbar(
                x,
                group.last.mean,
                group.last.deviation,
                ls='',
                capsize=3,
                **looks)
            handles[group.method] = bar[0]
            if len(group.done) > 1:
                axes.plot(
                    [x * span**0.01] * len(group.done),
                    group.last.values,
                    ls='',
                    ms=2.5,
                    alpha=0.6,
                    **looks)
        # Many names share two lines.
        axes.text(
            cost,
            1.015 + (0.05 * (place % 2) if len(by_cost) > 3 else 0),
            ' / '.join(sorted({group.network
                               for group in members})),
            transform=axes.get_xaxis_transform(),
            ha='center',
            fontsize=8,
            color=_FAINT)
    axes.set_xscale('log')
    axes.set_xlim(low / span**0.14, high * span**0.14)
    axes.set_xticks(list(by_cost), [format_short(cost) for cost in by_cost])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.1)
    labels = [_wrapped(method) for method in styles]
    longest = max(len(line) for label in labels for line in label.split('\n'))
    # As many side by side as fit: what does not is cut off.
    axes.figure.legend([handles[method] for method in styles],
                       labels,
                       loc='outside upper left',
                       ncols=max(1, min(3, _LETTERS // (longest + 6))))


@style.context(STYLE)
def plot_curves(variant: Variant, levels: Levels, name: str) -> list[Panel]:
    """Draw the validations of each stage of the runs of one kind."""
    shown = {}
    for network in variant.names:
        stages = [one for one in variant.stages(network) if one.history]
        if stages:
            shown[network] = stages, levels.of_teachers(variant, network)
    panels = []
    for i, (network, (stages, teachers)) in enumerate(shown.items(), 1):
        axes = new_axes(2.68, 2.15)
        axes.set_ylim(*_limits(list(shown.values())))
        _draw_stages(axes, network, stages)
        _draw_levels(axes, teachers)
        done = all(stage.state == 'done' for stage in stages)
        alt = f'{network}, {variant.method}: {"ended" if done else "is"} at '
        alt += format_list(format_number(stage.last) for stage in stages)
        if teachers:
            alt += '; its teachers: ' + ', '.join(
                f'{teacher} {format_number(level)}'
                for teacher, level in teachers.items())
        panels.append(panel_of(f'{name}_{i}', f'Learning curve. {alt}.', axes))
    return panels


def _limits(shown: Sequence[tuple]) -> tuple[float, float]:
    """Of all panels: from the values after the first steps to the top."""
    late, every = [], []
    for stages, teachers in shown:
        late += [level for level in teachers.values() if level is not None]
        for stage in stages:
            values = [value for _, value in stage.history]
            every += values
            late += values[len(values) // 4:]
    late = [value for value in late if math.isfinite(value)] or [0.]
    every = [value for value in every if math.isfinite(value)] + late
    if shown[0][0][0].rule == 'less':
        low, high = min(every), max(late)  # the first steps are above
    else:
        low, high = min(late), max(every)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_stages(axes: Axes, network: str, stages: Sequence[Stage]) -> None:
    for stage in stages:
        axes.plot(
            *zip(*stage.history),
            color=styles_of([stage.method])[stage.method].color,
            alpha=0.85,
            marker='o' if len(stage.history) < 15 else '',
            markersize=3,
            ls='-' if stage.state == 'done' else (0, (3, 1)))
    newest = max(stages, key=lambda stage: stage.history[-1][0])
    running = [stage for stage in stages if stage.state == 'running']
    lengths = [stage.length or 0 for stage in running]
    axes.set_xlim(0, 1.03 * max(newest.history[-1][0], 1, *lengths))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if running:
        network += f' (running{format_progress(running[0])})'
    elif len(stages) > 1:
        network += f' ({len(stages)} runs)'
    axes.set(
        title=network, xlabel=newest.unit, ylabel=format_metric(newest.metric))


def _draw_levels(axes: Axes, teachers: dict[str, float | None]) -> None:
    known = [(teacher, level) for teacher, level in teachers.items()
             if level is not None]
    low, high = axes.get_ylim()
    # Two labels do not touch if they are so much of the height apart.
    places = spread_out([level for _, level in known], 0.085 * (high - low))
    for i, ((teacher, level), place) in enumerate(zip(known, places)):
        dashes = (0, _DASHES[i % len(_DASHES)])
        axes.axhline(level, color=_INK, linewidth=0.9, ls=dashes, zorder=1.5)
        axes.text(
            1.02,
            place,
            f'{teacher} {level:.1f}',
            transform=axes.get_yaxis_transform(),
            fontsize=7.5,
            color=_FAINT,
            va='center')


def spread_out(values: Sequence[float], gap: float) -> list[float]:
    """Move labels apart to a least distance, by as little as it takes."""
    if not values:
        return []
    order = np.argsort(values, kind='stable')
    steps = gap * np.arange(len(values))
    moved = np.empty(len(values))
    moved[order] = isotonic_regression(np.take(values, order) - steps) + steps
    return moved.tolist()


@style.context(STYLE)
def plot_times(times: Mapping[str, Sequence[Time]]) -> list[Panel]:
    """Draw the time of each stage, and beyond it what the store saved."""
    known = {
        method: [time for time in some if time.spent.mean is not None]
        for method, some in times.items()
    }
    longest = max((time.spent.mean + (time.saved or 0)
                   for some in known.values() for time in some),
                  default=0)
    panels = []
    for method, rows in known.items():
        if rows:
            axes = new_axes(4.04, 0.75 + 0.25 * len(rows))
            axes.set_title(_wrapped(method))
            _draw_times(axes, rows, longest)
            alt = f'Time of each stage, {method}: ' + format_list(
                f'{row.network} {row.text}' for row in rows) + '.'
            panels.append(panel_of(f'time_{len(panels) + 1}', alt, axes))
    return panels


def _draw_times(axes: Axes, rows: Sequence[Time], longest: float) -> None:
    unit, label = 1, 'seconds'
    if longest >= 120:
        unit, label = (3600, 'hours') if longest >= 7200 else (60, 'minutes')
    spent = [row.spent.mean / unit for row in rows]
    saved = [(row.saved or 0) / unit for row in rows]
    ys = range(len(rows))
    axes.barh(ys, spent, height=0.62, color=_TIME)
    if any(saved):
        axes.barh(
            ys,
            saved,
            left=spent,
            height=0.62,
            facecolor='white',
            edgecolor=_TIME,
            linewidth=0.6,
            hatch='/////')
    for y, row in enumerate(rows):
        x = spent[y] + saved[y] + 0.012 * longest / unit
        text = format_duration(row.spent.mean)
        text += ' so far' if row.so_far else ''
        axes.text(x, y, text, va='center', fontsize=8)
    axes.set_yticks(ys, [row.network for row in rows], color=_INK)
    axes.set_xlim(0, longest / unit * 1.3)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.tick_params(axis='y', length=0)
    axes.grid(False, axis='y')
    axes.spines['left'].set_visible(False)
