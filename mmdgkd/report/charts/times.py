# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How long each stage took, and what the logit store saved."""
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmdgkd.report.groups import Spread, Variant
from mmdgkd.report.records import Stage
from mmdgkd.report.store import Savings
from mmdgkd.report.words import duration, listed
from .canvas import HEAD, NARROW, Chart, make_chart, rows_under_heads

_COLOUR = '#4a7ba6'
_SAVED = dict(facecolor='white', edgecolor=_COLOUR, hatch='/////')


def times_of(variant: Variant, network: str,
             savings: Savings) -> Tuple[Spread, Optional[float], bool]:
    """How long a stage takes.

    Args:
        variant (Variant): The runs.
        network (str): The stage.
        savings (Savings): What the store was good for.

    Returns:
        tuple[Spread, float | None, bool]: The seconds of the finished ones,
        the mean of what was saved in them, and whether none is finished yet,
        so that it is of those that run.
    """
    timed = [(run, stage) for run, stage in variant.stages(network)
             if stage.seconds is not None]
    done = [stage for _, stage in timed if stage.state == 'done']
    stages: List[Stage] = done or [stage for _, stage in timed]
    saved = [savings.of(stage) for stage in stages]
    known = [one.saved for one in saved if one and one.saved is not None]
    return (Spread(tuple(stage.seconds or 0.0 for stage in stages)),
            Spread(tuple(known)).mean, bool(stages and not done))


def times_chart(variants: Sequence[Variant],
                savings: Savings) -> Optional[Chart]:
    """Draw the time of each stage, with what the store saved behind it.

    Args:
        variants (Sequence[Variant]): All runs.
        savings (Savings): What the store was good for.

    Returns:
        Chart, optional: None if nothing was trained yet.
    """
    rows = [(variant.method, network, *times_of(variant, network, savings))
            for variant in variants for network in variant.names]
    rows = [row for row in rows if row[2].mean is not None]
    if not rows:
        return None
    words = listed([
        f'{network}, {method}: {duration(spread.mean)}'
        for method, network, spread, _, _ in rows
    ])
    return make_chart(
        'time', 'Time of each stage', f'Time of each stage. {words}.',
        'Training with validation and checkpoints, the mean over the runs. '
        'Hatched: what the logit store saved beyond that, an estimate from '
        'the measured seconds of computing one output of each teacher.',
        lambda width: _draw(rows, width))


def _draw(rows: Sequence[Tuple], width: float) -> Figure:
    narrow = width == NARROW
    by_method: Dict[str, List[Tuple]] = {}
    for row in rows:
        by_method.setdefault(row[0], []).append(row)
    lines = len(rows) + HEAD * len(by_method)
    figure = Figure(figsize=(width, 0.95 + 0.25 * lines), layout='constrained')
    axes = figure.subplots()
    longest = max(spread.mean + (saved or 0)
                  for _, _, spread, saved, _ in rows)
    unit, name = next(
        (unit, name)
        for unit, name in ((3600, 'hours'), (60, 'minutes'), (1, 'seconds'))
        if longest >= 2 * unit or unit == 1)

    def draw_row(row: Tuple, y: float) -> str:
        _, network, spread, saved, so_far = row
        taken = spread.mean / unit
        axes.barh(y, taken, height=0.62, color=_COLOUR)
        if saved:
            axes.barh(
                y,
                saved / unit,
                left=taken,
                height=0.62,
                linewidth=0.6,
                **_SAVED)
        axes.text(
            taken + (saved or 0) / unit + 0.012 * longest / unit,
            y,
            duration(spread.mean) + (' so far' if so_far else ''),
            va='center',
            fontsize=8)
        return network

    rows_under_heads(axes, by_method, draw_row)
    axes.set_xlim(0, longest / unit * (1.25 if narrow else 1.1))
    axes.set_xlabel(name)
    if any(row[3] for row in rows):
        handles = [
            Patch(color=_COLOUR, label='measured'),
            Patch(label='saved by the store (estimate)', **_SAVED)
        ]
        figure.legend(handles=handles, loc='outside upper left', ncols=2)
    return figure
