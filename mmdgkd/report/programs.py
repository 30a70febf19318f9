# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Exported programs: accuracy against latency and size, and the best of them.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mmdgkd.fileio.programs import ProgramRecord, read_programs
from .formatting import DASH, format_list, format_number, unit_of
from .groups import Levels
from .plots import STYLE, Panel, network_color, new_axes, panel_of
from .records import Run, Stage

_MARKERS = dict(pt2='o', onnx='s', executorch='^')


@dataclass
class ProgramRow:
    """A program of a network.

    Attributes:
        network (str): Its network; with the label of the run where there are
            several.
        place (int): Of the network in its chain, from 0.
        record (ProgramRecord): What is known of the program.
        value (float, optional): The metric of the network's file.
        fastest (bool): Whether no other is as good and faster, or better and
            as fast: the Pareto front. Defaults to False.
        smallest (bool): Likewise by the bytes of its file.
            Defaults to False.
    """

    network: str
    place: int
    record: ProgramRecord
    value: float | None
    fastest: bool = False
    smallest: bool = False

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        took = self.record.latency
        front = [
            word for word, best in (('latency', self.fastest),
                                    ('size', self.smallest)) if best
        ]
        return [
            self.network, self.record.format,
            format_number(self.value), f'{self.record.size / 1000:,.0f}',
            f'{took.median:.3g}' if took else DASH,
            f'{took.low:.3g} to {took.high:.3g}' if took else DASH,
            f'{self.record.error:.2g}',
            format_list(front) or DASH
        ]


@dataclass(frozen=True)
class Programs:
    """The programs of some runs.

    Attributes:
        rows (list[ProgramRow]): Of each network and format.
        device (str): Where the latencies were measured; empty if none was.
        notes (list[str]): What is not shown, and why.
        panels (list[Panel]): The pictures.
    """

    rows: list[ProgramRow]
    device: str
    notes: list[str]
    panels: list[Panel]


def programs_of(runs: Sequence[Run], levels: Levels,
                metric: str | None) -> Programs:
    """Read the programs of runs, and find the best of them.

    Args:
        runs (Sequence[Run]): The runs.
        levels (Levels): Knows the metric of each file.
        metric (str, optional): The name of the metric; a loss is better the
            lower it is.
    """
    rows, notes = [], []
    for run in runs:
        for place, stage in enumerate(run.stages.values()):
            found, note = _records(run, stage)
            notes += [note] if note else []
            origin = levels.origin(stage) or stage
            label = f' ({run.label})' if len(runs) > 1 else ''
            rows += [
                ProgramRow(stage.name + label, place, record, origin.used)
                for record in found
            ]
    devices = list(
        dict.fromkeys(row.record.latency.device for row in rows
                      if row.record.latency))
    if len(devices) > 1:
        # Of several processors they cannot be compared.
        notes.append(f'The latencies are of {format_list(devices)}; the '
                     'front and the picture are of the first one alone.')
    lower = 'loss' in str(metric)
    _mark(rows, 'fastest', lambda row: _latency(row, devices), lower)
    _mark(rows, 'smallest', lambda row: row.record.size, lower)
    return Programs(rows, devices[0] if devices else '', notes,
                    plot_programs(rows, devices, metric))


def _records(run: Run, stage: Stage) -> tuple[list[ProgramRecord], str]:
    """The programs of the very file of a network; and what is left out."""
    if stage.folder is None:
        return [], ''
    try:
        found = list(read_programs(stage.folder).values())
    except ValueError as error:
        return [], f'{stage.name} of {run.label}: {error}.'
    own = [one for one in found if one.weights == stage.weights]
    if len(own) < len(found):
        return own, (f'The programs of {stage.name} of {run.label} are of '
                     'other weights than its file has; mmdgkd export writes '
                     'new ones.')
    return own, ''


def _latency(row: ProgramRow, devices: Sequence[str]) -> float | None:
    took = row.record.latency
    return took.median if took and took.device == devices[0] else None


def _mark(rows: Sequence[ProgramRow], attribute: str,
          cost_of: Callable[[ProgramRow], float | None], lower: bool) -> None:
    """Mark the rows that no other is better than in one and as good in both.
    """
    known = sorted(
        ((cost, row.value if lower else -row.value, row) for row in rows
         if row.value is not None and (cost := cost_of(row)) is not None),
        key=lambda one: one[:2])
    best: float | None = None
    for _, badness, row in known:
        if best is None or badness < best:
            best = badness
            setattr(row, attribute, True)


@style.context(STYLE)
def plot_programs(rows: Sequence[ProgramRow], devices: Sequence[str],
                  metric: str | None) -> list[Panel]:
    """Draw the metric of programs against latency and size.

    Args:
        rows (Sequence[ProgramRow]): The programs.
        devices (Sequence[str]): The processors; latencies are those of the
            first.
        metric (str, optional): The name of the metric.
    """
    costs: dict[str, tuple] = {
        'latency': ('fastest', 'milliseconds per image',
                    lambda row: _latency(row, devices)),
        'size':
        ('smallest', 'KB of the file', lambda row: row.record.size / 1000)
    }
    panels = []
    for key, (best, label, cost_of) in costs.items():
        shown = [(cost_of(row), row) for row in rows
                 if row.value is not None and cost_of(row) is not None]
        if not shown:
            continue
        axes = new_axes(4.04, 3.6)
        axes.set(xlabel=label, ylabel=metric)
        _draw(axes, shown, best)
        front = format_list(f'{row.network} {row.record.format} '
                            f'{cost:.3g} {row.value:.2f}'
                            for cost, row in shown if getattr(row, best))
        panels.append(
            panel_of(
                f'programs_{key}', f'{metric} against {label}; the Pareto '
                f'front: {front}.', axes))
    return panels


def _draw(axes: Axes, shown: Sequence[tuple], best: str) -> None:
    total = 1 + max(row.place for _, row in shown)
    networks, formats = {}, {}
    for cost, row in shown:
        looks = dict(
            color=network_color(row.place, total),
            marker=_MARKERS.get(row.record.format, 'D'),
            ls='')
        axes.plot(cost, row.value, ms=6, **looks)
        took = row.record.latency
        if best == 'fastest' and took:
            axes.plot((took.low, took.high), (row.value, ) * 2,
                      color=looks['color'],
                      lw=0.9)
        networks.setdefault(
            row.network,
            axes.plot([], [], **looks | dict(marker='o', ms=6))[0])
        formats.setdefault(
            row.record.format,
            axes.plot([], [], **looks | dict(color='#52606d', ms=6))[0])
    front = sorted(
        (cost, row.value) for cost, row in shown if getattr(row, best))
    axes.plot(
        *zip(*front),
        drawstyle='steps-post',
        color='#52606d',
        lw=0.9,
        ls=(0, (3, 2)),
        zorder=1)
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    if len({cost for cost, _ in shown}) > 1:
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.08)
    if unit_of(axes.get_ylabel()):
        axes.set_ylim(top=min(axes.get_ylim()[1], 100.4))
    axes.figure.legend([*networks.values(), *formats.values()],
                       [*networks, *formats],
                       loc='outside upper left',
                       ncols=3)
