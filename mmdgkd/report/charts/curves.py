# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How each stage has learned, and the levels of its teachers."""
import math
from typing import List, Optional, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmdgkd.report.groups import Levels, Spread, Variant
from mmdgkd.report.records import Stage
from mmdgkd.report.words import listed, number, unit_of
from .canvas import FAINT, INK, NARROW, Chart, looks_of, make_chart, spread_out

_DASHES = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)),
           (0, (9, 3)), (0, (4, 1, 1, 1, 1, 1)))


def curves_chart(variant: Variant, levels: Levels, name: str,
                 first: bool) -> Optional[Chart]:
    """Draw the validations of each stage of the runs of one kind.

    Args:
        variant (Variant): The runs.
        levels (Levels): What the files have scored.
        name (str): Of the chart's file.
        first (bool): Whether it is the first one, which says how to read it.

    Returns:
        Chart, optional: None if nothing was validated yet.
    """
    shown = [
        network for network in variant.names
        if any(stage.history for _, stage in variant.stages(network))
    ]
    if not shown:
        return None
    alt = f'Learning curves, {variant.method}. ' + ' '.join(
        _format_teachers(variant, levels, network) for network in shown)
    caption = ''
    if first:
        caption = ('A line is one training, validated as it goes on; the '
                   'dashed lines are the levels of the teachers, each as it '
                   'taught. The first steps may lie below the picture.')
    return make_chart(name, variant.method, alt, caption,
                      lambda width: _draw(variant, levels, shown, width))


def teacher_levels(variant: Variant, levels: Levels,
                   network: str) -> List[Tuple[str, Optional[float]]]:
    """The mean level of each teacher of a network; None if it is not known."""
    found = []
    for teacher in variant.stage(network).teachers:
        scores = {}
        for run, stage in variant.stages(network):
            origin = levels.of_teacher(run, stage, teacher)
            if origin is not None and origin.last is not None:
                scores[id(origin)] = origin.last
        found.append((teacher, Spread(tuple(scores.values())).mean))
    return found


def _format_teachers(variant: Variant, levels: Levels, network: str) -> str:
    stages = [stage for _, stage in variant.stages(network) if stage.history]
    done = all(stage.state == 'done' for stage in stages)
    text = (f'{network} {"ended" if done else "is"} at '
            f'{listed([number(stage.last) for stage in stages])}')
    teachers = [
        f'{teacher} {number(level)}'
        for teacher, level in teacher_levels(variant, levels, network)
    ]
    return text + (f'; its teachers: {", ".join(teachers)}.'
                   if teachers else '.')


def _draw(variant: Variant, levels: Levels, shown: Sequence[str],
          width: float) -> Figure:
    columns = 1 if width == NARROW else min(3, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(width, 2.15 * rows + 0.15), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    low, high = _limits(variant, levels, shown)
    for i, axes in enumerate(panels.flat):
        if i >= len(shown):
            axes.set_axis_off()
            continue
        axes.set_ylim(low, high)
        stages = [stage for _, stage in variant.stages(shown[i])]
        _draw_stage(axes, stages, rows)
        _draw_levels(axes, teacher_levels(variant, levels, shown[i]),
                     high - low)
        axes.set_title(_title(shown[i], stages))
        axes.tick_params(labelleft=i % columns == 0)
        if i + columns >= len(shown):
            axes.set_xlabel(stages[0].unit)
        if i % columns == 0:
            metric = next((stage.metric for stage in stages if stage.metric),
                          '')
            unit = unit_of(metric).strip()
            axes.set_ylabel(f'{metric}, {unit}' if unit else metric)
    return figure


def _title(network: str, stages: Sequence[Stage]) -> str:
    running = [stage for stage in stages if stage.state == 'running']
    if running:
        steps = max(
            (stage.history[-1][0] for stage in running if stage.history),
            default=0)
        total = f' of {running[0].length}' if running[0].length else ''
        return f'{network} (running, {steps}{total})'
    trained = sum(bool(stage.history) for stage in stages)
    return f'{network} ({trained} runs)' if trained > 1 else network


def _draw_stage(axes: Axes, stages: Sequence[Stage], rows: int) -> None:
    for stage in stages:
        if not stage.history:
            continue
        color, _ = looks_of([stage.method])[stage.method]
        steps, values = zip(*stage.history)
        axes.plot(
            steps,
            values,
            color=color,
            linewidth=1.3,
            alpha=0.85,
            marker='o' if len(steps) < 15 else '',
            markersize=3,
            ls='-' if stage.state == 'done' else (0, (3, 1)))
    ends = [stage.history[-1][0] for stage in stages if stage.history]
    ends += [stage.length or 0 for stage in stages if stage.state == 'running']
    axes.set_xlim(0, 1.03 * max(ends))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_levels(axes: Axes, teachers: Sequence[Tuple[str, Optional[float]]],
                 span: float) -> None:
    known = [(teacher, level) for teacher, level in teachers
             if level is not None]
    # Two labels do not touch if they are so much of the height apart.
    places = spread_out([level for _, level in known], 0.085 * span)
    for i, ((teacher, level), place) in enumerate(zip(known, places)):
        axes.axhline(
            level,
            color=INK,
            linewidth=0.9,
            ls=_DASHES[i % len(_DASHES)],
            zorder=1.5)
        axes.annotate(
            f'{teacher} {level:.1f}', (1, level),
            xytext=(1.02, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            fontsize=7.5,
            color=FAINT,
            va='center',
            annotation_clip=False)


def _limits(variant: Variant, levels: Levels,
            shown: Sequence[str]) -> Tuple[float, float]:
    """Of all panels: from the values after the first steps to the top."""
    late: List[float] = []
    every: List[float] = []
    for network in shown:
        late += [
            level for _, level in teacher_levels(variant, levels, network)
            if level is not None
        ]
        for _, stage in variant.stages(network):
            values = [value for _, value in stage.history]
            every += values
            late += values[len(values) // 4:]
    every = [value for value in every + late if math.isfinite(value)]
    late = [value for value in late if math.isfinite(value)] or every or [0.]
    if 'loss' in str(variant.stage(shown[0]).metric):
        # The first steps are above.
        low, high = min(every or late), max(late)
    else:
        low, high = min(late), max(every or late)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
