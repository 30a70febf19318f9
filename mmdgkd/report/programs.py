# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Exported programs: accuracy against latency and size, and the best of them.
"""
import os.path as osp
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mmdgkd.fileio.programs import ProgramRecord, read_programs
from .formatting import (DASH, format_list, format_metric, format_number,
                         unit_of)
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
        file (str): The path of the program, in the folder of the network.
        record (ProgramRecord): What is known of the program.
        stage (Stage): Where the network was trained, with its metric.
        fastest (bool): Whether no other is as good and faster, or better and
            as fast: the Pareto front. Defaults to False.
        smallest (bool): Likewise by the bytes of its file.
            Defaults to False.
    """

    network: str
    place: int
    file: str
    record: ProgramRecord
    stage: Stage
    fastest: bool = False
    smallest: bool = False

    @property
    def value(self) -> float | None:
        """The metric of the network's file."""
        return self.stage.used

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        took = self.record.latency
        front = [
            word for word, best in (('latency', self.fastest),
                                    ('size', self.smallest)) if best
        ]
        return [
            self.network, self.file,
            format_number(self.value), f'{self.record.size / 1000:,.0f}',
            format_milliseconds(took.median) if took else DASH,
            f'{format_milliseconds(took.low)} to '
            f'{format_milliseconds(took.high)}' if took else DASH,
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


def programs_of(runs: Sequence[Run], levels: Levels) -> Programs:
    """Read the programs of runs, and find the best of them.

    Args:
        runs (Sequence[Run]): The runs.
        levels (Levels): Knows the metric of each file.
    """
    rows, notes = [], []
    for run in runs:
        label = f' ({run.label})' if len(runs) > 1 else ''
        for place, stage in enumerate(run.stages.values()):
            found, note = _records(run, stage)
            notes += [note] if note else []
            rows += [
                ProgramRow(stage.name + label, place, file, record,
                           levels.origin(stage) or stage)
                for file, record in found.items()
            ]
    unknown = list(
        dict.fromkeys(row.network for row in rows if row.value is None))
    if unknown:
        notes.append(f'No metric is known of {format_list(unknown)}: not in '
                     'the pictures, and not on the front.')
    devices = list(
        dict.fromkeys(row.record.latency.device for row in rows
                      if row.record.latency))
    if len(devices) > 1:
        # Of several processors they cannot be compared.
        notes.append(f'The latencies are of {format_list(devices)}; the '
                     'front and the picture are of the first one alone.')
    device = devices[0] if devices else ''
    panels = []
    metrics = dict.fromkeys((row.stage.metric, row.stage.rule) for row in rows
                            if row.value is not None)
    for i, (metric, rule) in enumerate(metrics):
        some = [
            row for row in rows
            if row.value is not None and (row.stage.metric,
                                          row.stage.rule) == (metric, rule)
        ]
        if rule is None:
            notes.append(f'Which value of {metric} is better is not known: no '
                         'front; chain.metric tells it.')
        for attribute, cost_of in _costs(device).values():
            _mark(some, attribute, cost_of, rule)
        panels += plot_programs(some, device, metric, f'_{i}' if i else '')
    return Programs(rows, device, notes, panels)


def format_milliseconds(value: float) -> str:
    """Three digits, such as ``0.0128`` or ``1,230``."""
    return f'{value:,.0f}' if value >= 1000 else f'{value:.3g}'


def _records(run: Run, stage: Stage) -> tuple[dict[str, ProgramRecord], str]:
    """The programs of the very file of a network; and what is left out."""
    if stage.folder is None:
        return {}, ''
    try:
        found = read_programs(stage.folder)
    except ValueError as error:
        return {}, f'{stage.name} of {run.label}: {error}.'
    own = {
        name: one
        for name, one in found.items() if one.weights == stage.weights
        and _size_of(osp.join(stage.folder, name)) == one.size
    }
    if len(own) < len(found):
        return own, (f'Programs of {stage.name} of {run.label} are not shown: '
                     'the network or the file is another one since; mmdgkd '
                     'export writes new ones.')
    return own, ''


def _size_of(path: str) -> int | None:
    return osp.getsize(path) if osp.isfile(path) else None


def _costs(device: str) -> dict[str, tuple[str, Callable]]:
    """By name: the attribute of the front, and the cost of a row."""
    return {
        'latency': ('fastest', lambda row: _latency(row, device)),
        'size': ('smallest', lambda row: row.record.size / 1000)
    }


def _latency(row: ProgramRow, device: str) -> float | None:
    took = row.record.latency
    return took.median if took and took.device == device else None


def _mark(rows: Sequence[ProgramRow], attribute: str,
          cost_of: Callable[[ProgramRow],
                            float | None], rule: str | None) -> None:
    """Mark the rows that no other is better than in one and as good in both.
    """
    sign = dict(less=1, greater=-1).get(rule or '')
    known = sorted(
        ((cost, sign * row.value, row)
         for row in rows if sign and (cost := cost_of(row)) is not None),
        key=lambda one: one[:2])
    best: tuple | None = None
    for cost, badness, row in known:
        if best is None or badness < best[1] or (cost, badness) == best:
            best = cost, badness
            setattr(row, attribute, True)


@style.context(STYLE)
def plot_programs(rows: Sequence[ProgramRow], device: str, metric: str | None,
                  suffix: str) -> list[Panel]:
    """Draw the metric of programs against latency and size.

    Args:
        rows (Sequence[ProgramRow]): The programs; all have the metric.
        device (str): The processor whose latencies are drawn.
        metric (str, optional): The name of the metric.
        suffix (str): Of the names of the pictures.
    """
    labels = dict(latency='milliseconds per image', size='KB of the file')
    panels = []
    for key, (best, cost_of) in _costs(device).items():
        shown = [(cost_of(row), row) for row in rows
                 if cost_of(row) is not None]
        if not shown:
            continue
        axes = new_axes(4.04, 3.6)
        axes.set(xlabel=labels[key], ylabel=format_metric(metric))
        _draw(axes, shown, best)
        front = format_list(f'{row.file} {format_milliseconds(cost)} '
                            f'{row.value:.2f}' for cost, row in shown
                            if getattr(row, best))
        panels.append(
            panel_of(
                f'programs_{key}{suffix}', f'{metric} against {labels[key]}; '
                f'the Pareto front: {front or DASH}.', axes))
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
    if front:
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
    if unit_of(shown[0][1].stage.metric):
        axes.set_ylim(top=min(axes.get_ylim()[1], 100.4))
    axes.figure.legend([*networks.values(), *formats.values()],
                       [*networks, *formats],
                       loc='outside upper left',
                       ncols=3)
