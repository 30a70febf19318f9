# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The chain: its networks, and which networks are teachers of which."""
from typing import List, Tuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from mmdgkd.report.groups import Levels, Spread, Variant
from mmdgkd.report.words import listed, short, unit_of
from .canvas import NARROW, Chart, make_chart

_ACROSS = 7  # more networks than that are drawn from top to bottom
_RISE = 0.17  # inches that an arrow rises for each network it passes


def chain_picture(variant: Variant, levels: Levels, name: str,
                  first: bool) -> Chart:
    """Draw which networks are teachers of which in the runs of one kind.

    Args:
        variant (Variant): The runs.
        levels (Levels): What the files have scored.
        name (str): Of the chart's file.
        first (bool): Whether it is the first one with arrows, which says what
            they are.
    """
    words = [
        f'{network} is guided by {listed(variant.stage(network).teachers)}'
        for network in variant.names if variant.stage(network).teachers
    ]
    alt = (f'The chain {" to ".join(variant.names)}, {variant.method}: '
           f'{"; ".join(words) or "nobody teachers anybody"}.')
    return make_chart(name, variant.method, alt, _caption(variant, first),
                      lambda width: _draw(variant, levels, width))


def _caption(variant: Variant, first: bool) -> str:
    stages = [variant.stage(name) for name in variant.names]
    if not any(stage.teachers for stage in stages):
        return 'No arrows: each network is trained on the labels alone.'
    text = ('An arrow goes from a teacher, which is trained already and stays '
            'as it is, to the network that learns from it.') if first else ''
    silent = [stage.name for stage in stages if stage.silent]
    if silent:
        text += (f' Dashed: in each step of {listed(silent)} some teachers, '
                 'drawn at random, are silent.')
    return text.strip()


def _draw(variant: Variant, levels: Levels, width: float) -> Figure:
    names = variant.names
    down = width == NARROW or len(names) > _ACROSS
    colors = _colors(len(names))
    figure = Figure(figsize=(width, _height(variant, down)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, figure.get_figheight()))
    boxes = _boxes(len(names), width, figure.get_figheight(), down)
    for i, network in enumerate(names):
        _draw_box(axes, boxes[i], colors[i], _lines(variant, levels, network))
    for i, network in enumerate(names):
        stage = variant.stage(network)
        for teacher in stage.teachers:
            if teacher in names:
                j = names.index(teacher)
                _draw_arrow(axes, boxes, j, i, colors[j], down,
                            bool(stage.silent))
    return figure


def _height(variant: Variant, down: bool) -> float:
    names = variant.names
    if down:
        return 1.12 * len(names) - 0.1
    reach = max([
        i - names.index(teacher) for i, network in enumerate(names)
        for teacher in variant.stage(network).teachers if teacher in names
    ],
                default=1)
    return 1.25 + (0.2 + _RISE * reach if reach > 1 else 0)


def _boxes(number: int, width: float, height: float,
           down: bool) -> List[Tuple[float, float, float, float]]:
    """(left, bottom, width, height) of each, the largest first."""
    if down:
        wide = min(1.75, 0.55 * width)
        return [(0.1 + 0.08 * min(i, 3), height - 0.9 - 1.12 * i,
                 wide - 0.16 * min(i, 3), 0.82) for i in range(number)]
    step = width / number
    wide = min(1.5, 0.78 * step)
    return [(step * i + (step - wide) / 2, 0.1, wide,
             1.05 - 0.15 * i / max(1, number - 1)) for i in range(number)]


def _lines(variant: Variant, levels: Levels, network: str) -> List[str]:
    stage = variant.stage(network)
    scores, metric = [], stage.metric
    for _, one in variant.stages(network):
        origin = levels.origin(one)
        if origin and origin[1].last is not None:
            scores.append((origin[1].wrote, origin[1].last))
            metric = origin[1].metric
    known = Spread(tuple(dict(scores).values()))
    states = {one.state for _, one in variant.stages(network)}
    lines = [network, stage.role, f'{short(stage.params)} parameters']
    if known.mean is not None:
        lines.append(f'{known.mean:.2f}{unit_of(metric)}')
    elif states == {'given'}:
        lines.append('given')
    elif 'running' in states:
        lines.append('running')
    else:  # what is never validated has no number
        lines.append('trained' if 'done' in states else 'not trained yet')
    return lines


def _draw_box(axes: Axes, box: Tuple[float, float, float, float], color: str,
              lines: List[str]) -> None:
    left, bottom, width, height = box
    axes.add_patch(
        FancyBboxPatch((left, bottom),
                       width,
                       height,
                       boxstyle='round,pad=0,rounding_size=0.07',
                       facecolor=color,
                       edgecolor='none',
                       zorder=2))
    step = height / (len(lines) + 0.7)
    for i, line in enumerate(lines):
        bold = i in (0, len(lines) - 1)
        size = 10 if i == 0 else 8
        # About 0.62 em a letter, and two thirds more of air.
        size = min(size, 72 * 0.93 * width / (0.64 * max(1, len(line))))
        axes.text(
            left + width / 2,
            bottom + height - step * (i + 0.85),
            line,
            color='white',
            fontsize=size,
            ha='center',
            va='center',
            fontweight='bold' if bold else 'normal',
            zorder=3)


def _draw_arrow(axes: Axes, boxes: List[Tuple], teacher: int, pupil: int,
                color: str, down: bool, dashed: bool) -> None:
    path = _path(boxes[teacher], boxes[pupil], pupil - teacher, down)
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle='-|>',
            mutation_scale=11,
            linewidth=1.4,
            linestyle=(0, (4, 2)) if dashed else '-',
            color=color,
            zorder=4))


def _path(teacher: Tuple, pupil: Tuple, reach: int, down: bool) -> Path:
    """From box to box; past others in an arc, the further the higher."""
    left, bottom, width, height = teacher
    to_left, to_bottom, to_width, to_height = pupil
    if reach == 1 and down:
        x = left + width / 2
        return Path([(x, bottom - 0.02), (x, to_bottom + to_height + 0.02)])
    if reach == 1:
        return Path([(left + width + 0.02, 0.5), (to_left - 0.02, 0.5)])
    # They leave in one order and arrive in another, to be told apart.
    place = min(reach, 6)
    if down:
        start = (left + width + 0.02, bottom + 0.1 + 0.07 * place)
        end = (to_left + to_width + 0.02,
               to_bottom + to_height - 0.05 - 0.09 * place)
        side = left + width + 4 / 3 * (0.16 + 0.2 * place)
        points = [start, (side, start[1]), (side, end[1]), end]
    else:
        start = (left + width * (0.5 + 0.06 * place), bottom + height + 0.02)
        end = (to_left + to_width * (0.62 - 0.09 * place),
               to_bottom + to_height + 0.02)
        # A curve goes up to three quarters of the height of its handles.
        top = bottom + height + 4 / 3 * (0.05 + _RISE * reach)
        points = [start, (start[0], top), (end[0], top), end]
    return Path(points, [Path.MOVETO] + 3 * [Path.CURVE4])


def _colors(number: int) -> List[str]:
    table = matplotlib.colormaps['viridis']
    return [
        matplotlib.colors.to_hex(table(0.08 + 0.36 * i / max(1, number - 1)))
        for i in range(number)
    ]
