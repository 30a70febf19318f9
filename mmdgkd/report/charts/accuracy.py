# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What came out, against what it costs, and how much seeds differ."""
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from mmdgkd.report.groups import Group
from mmdgkd.report.words import listed, short, unit_of
from .canvas import (FAINT, HEAD, NARROW, Chart, looks_of, make_chart,
                     rows_under_heads)

_COSTS = (('macs', 'MACs per image'), ('params', 'parameters'))


def metric_name(groups: Sequence[Group]) -> str:
    """The metrics in words, such as ``accuracy/top1, %``."""
    names = sorted({group.first.metric for group in groups} - {None})
    units = {unit_of(name).strip() for name in names}
    unit = units.pop() if len(units) == 1 else ''
    return ' / '.join(map(str, names)) + (f', {unit}' if unit else '')


def accuracy_chart(groups: Sequence[Group]) -> Optional[Chart]:
    """Draw the metric against MACs and against parameters.

    Args:
        groups (Sequence[Group]): What was trained.

    Returns:
        Chart, optional: None if nothing is known to draw.
    """
    shown = [group for group in groups if group.last.mean is not None]
    costs = [(key, words) for key, words in _COSTS if any(
        getattr(group.first, key) for group in shown)]
    if not costs:
        return None
    points = '; '.join(
        f'{group.network}, {group.method}: {group.last} at '
        f'{short(group.first.macs)} MACs and {short(group.first.params)} '
        'parameters' for group in shown)
    return make_chart(
        'accuracy', f'{metric_name(shown)} against cost',
        f'{metric_name(shown)} against the cost of a network. {points}.',
        'After the last epoch; a point is the mean over the seeds, the bar the'
        ' sample standard deviation where there are several. Cheaper networks '
        'are to the left; the axes of cost are logarithmic.',
        lambda width: _draw_costs(shown, costs, width))


def _draw_costs(groups: Sequence[Group], costs: List[Tuple[str, str]],
                width: float) -> Figure:
    narrow = width == NARROW
    figure = Figure(
        figsize=(width, 2.9 * len(costs) + 0.5 if narrow else 3.6),
        layout='constrained')
    rows, columns = (len(costs), 1) if narrow else (1, len(costs))
    panels = figure.subplots(rows, columns, squeeze=False).flat
    methods = list(dict.fromkeys(group.method for group in groups))
    looks = looks_of(methods)
    for i, (axes, (key, words)) in enumerate(zip(panels, costs)):
        _draw_cost(axes, groups, key, looks)
        axes.set_xlabel(words)
        if i == 0 or narrow:
            axes.set_ylabel(metric_name(groups))
    figure.legend(
        handles=[
            Line2D([], [], color=color, marker=mark, ls='', label=method)
            for method, (color, mark) in looks.items()
        ],
        loc='outside upper left',
        ncols=2 if narrow else 5)
    return figure


def _draw_cost(axes: Axes, groups: Sequence[Group], key: str,
               looks: Dict[str, Tuple[str, str]]) -> None:
    by_cost: Dict[int, List[Group]] = {}
    for group in groups:
        cost = getattr(group.first, key)
        if cost:
            by_cost.setdefault(cost, []).append(group)
    low, high = min(by_cost), max(by_cost)
    span = max(high / low, 1.5)
    step = span**0.026
    for cost, members in by_cost.items():
        for place, group in enumerate(members):
            color, mark = looks[group.method]
            # Side by side where they cost the same.
            x = cost * step**(place - (len(members) - 1) / 2)
            axes.errorbar(
                x,
                group.last.mean,
                yerr=group.last.deviation,
                color=color,
                marker=mark,
                markersize=6,
                capsize=3,
                linewidth=1.2)
    axes.set_xscale('log')
    axes.set_xlim(low / span**0.14, high * span**0.14)
    axes.set_xticks(list(by_cost), [short(cost) for cost in by_cost])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.1)
    if unit_of(groups[0].first.metric):
        axes.set_ylim(top=min(axes.get_ylim()[1], 100.4))
    for place, cost in enumerate(sorted(by_cost)):
        # Many names share two lines.
        raised = 0.05 * (place % 2) if len(by_cost) > 3 else 0
        axes.text(
            cost,
            1.015 + raised,
            ' / '.join(sorted({group.network
                               for group in by_cost[cost]})),
            transform=axes.get_xaxis_transform(),
            ha='center',
            va='bottom',
            fontsize=8,
            color=FAINT)


def seeds_chart(groups: Sequence[Group]) -> Optional[Chart]:
    """Draw each seed, the mean and the spread of each training.

    Args:
        groups (Sequence[Group]): What was trained.

    Returns:
        Chart, optional: None if nothing is finished.
    """
    shown = [group for group in groups if group.last.mean is not None]
    if not shown:
        return None
    most = max(len(group.done) for group in shown)
    words = listed([
        f'{group.network} {group.method} {group.last} (n={len(group.done)})'
        for group in shown
    ])
    return make_chart(
        'seeds', 'Each training, and how much seeds differ',
        f'{metric_name(shown)} of each seed by network and method: {words}.',
        'A filled mark is one training after its last epoch, the upright '
        'stroke the mean, the line the sample standard deviation; the hollow '
        'mark is the mean of the best epochs.' +
        ('' if most > 1 else ' There is one seed of each: nothing is known of '
         'the spread.'), lambda width: _draw_seeds(shown, width))


def _draw_seeds(groups: Sequence[Group], width: float) -> Figure:
    narrow = width == NARROW
    looks = looks_of([group.method for group in groups])
    rows: Dict[str, List[Group]] = {}
    for group in groups:
        rows.setdefault(group.network, []).append(group)
    height = 0.62 + 0.27 * (len(groups) + HEAD * len(rows))
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()

    def draw_row(group: Group, y: float) -> str:
        _draw_row(axes, group, y, looks[group.method])
        if not narrow:
            axes.text(
                1.01,
                y,
                str(group.last),
                transform=axes.get_yaxis_transform(),
                va='center',
                fontsize=8)
        return f'{group.method}, n={len(group.done)}'

    for y in rows_under_heads(axes, rows, draw_row):
        axes.axhline(y - 0.55, color='#9aa5b1', linewidth=0.6)
    axes.margins(x=0.06)
    axes.set_xlabel(metric_name(groups))
    return figure


def _draw_row(axes: Axes, group: Group, y: float, look: Tuple[str,
                                                              str]) -> None:
    color, mark = look
    last, best = group.last, group.best
    if last.mean is None:
        return
    if last.deviation is not None:
        axes.hlines(
            y,
            last.mean - last.deviation,
            last.mean + last.deviation,
            color=color,
            linewidth=1.4)
        axes.vlines(last.mean, y - 0.3, y + 0.3, color=color, linewidth=1.8)
    axes.plot(
        last.values, [y] * len(last.values),
        ls='',
        marker=mark,
        color=color,
        alpha=0.75,
        markeredgewidth=0,
        markersize=6)
    if best.mean is not None:
        axes.plot(
            best.mean,
            y,
            ls='',
            marker=mark,
            markersize=6,
            markerfacecolor='none',
            markeredgecolor=color)
