# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What all charts have in common: sizes, colours, and how they are drawn."""
import io
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDE, NARROW = 8.2, 3.5  # inches
_DPI = 200  # twice what a page needs: sharp on any screen
HEAD = 0.9  # rows that a head of rows takes
INK, FAINT, RULE = '#1f2933', '#52606d', '#d9dee3'

# Okabe and Ito's, and Tol's, which colour-blind people tell apart, darkened
# for a white page; the markers tell them apart without any colour.
_LOOKS = {
    'alone': ('#52606d', 'o'),
    'KD': ('#b35900', 's'),
    'TAKD': ('#00795a', '^'),
    'DGKD': ('#0065a8', 'D'),
    'stochastic DGKD': ('#a63d84', 'v'),
}
_OTHERS = (('#8c6d1f', 'P'), ('#3d8eb9', 'X'), ('#882255', 'p'),
           ('#117733', 'h'), ('#332288', '<'), ('#661100', '>'))

_STYLE = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': 9,
    'axes.titlesize': 9,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.edgecolor': '#9aa5b1',
    'axes.labelcolor': INK,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': RULE,
    'grid.linewidth': 0.6,
    'text.color': INK,
    'text.parse_math': False,  # names are names
    'xtick.color': FAINT,
    'ytick.color': FAINT,
    'xtick.labelsize': 8,
    'ytick.labelsize': 8,
    'legend.frameon': False,
    'legend.fontsize': 8,
    'hatch.linewidth': 0.6,
}


@dataclass(frozen=True)
class Chart:
    """A picture in two widths.

    Attributes:
        name (str): Of its file, without the ending.
        title (str): The heading.
        alt (str): What it shows, for those who do not see it.
        caption (str): How to read it.
        wide (bytes): The PNG for desks.
        narrow (bytes): The PNG for phones.
    """

    name: str
    title: str
    alt: str
    caption: str
    wide: bytes
    narrow: bytes


def make_chart(name: str, title: str, alt: str, caption: str,
               draw: Callable[[float], Figure]) -> Chart:
    """Draw a chart in both widths.

    Args:
        name (str): Of its file, without the ending.
        title (str): The heading.
        alt (str): What it shows.
        caption (str): How to read it.
        draw (Callable): Draws it, given the width in inches.
    """
    with matplotlib.rc_context(_STYLE):
        wide, narrow = (_png(draw(width)) for width in (WIDE, NARROW))
    return Chart(name, title, alt, caption, wide, narrow)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=_DPI, facecolor='white')
    return file.getvalue()


def looks_of(methods: Sequence[str]) -> Dict[str, Tuple[str, str]]:
    """A colour and a marker for each method.

    Args:
        methods (Sequence[str]): In order; twice makes no difference.
    """
    looks: Dict[str, Tuple[str, str]] = {}
    others = 0
    for method in methods:
        if method in looks:
            continue
        if method in _LOOKS:
            looks[method] = _LOOKS[method]
        else:
            looks[method] = _OTHERS[others % len(_OTHERS)]
            others += 1
    return looks


def rows_under_heads(axes: Axes, rows: Mapping[str, Sequence[Any]],
                     draw_row: Callable[[Any, float], str]) -> List[float]:
    """Draw rows from top to bottom, those of one head below it.

    Args:
        axes (Axes): Where.
        rows (Mapping[str, Sequence]): The rows of each head.
        draw_row (Callable): Draws a row at a height; returns its label.

    Returns:
        list[float]: The heights of the heads.
    """
    y, heights, ticks, labels = 0.0, [], [], []
    for head, members in rows.items():
        axes.text(
            0,
            y,
            f' {head}',
            transform=axes.get_yaxis_transform(),
            fontweight='bold',
            va='center')
        heights.append(y)
        y += HEAD
        for row in members:
            labels.append(draw_row(row, y))
            ticks.append(y)
            y += 1
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_yticks(ticks, labels, color=INK)
    axes.tick_params(axis='y', length=0)
    axes.grid(False, axis='y')
    axes.spines['left'].set_visible(False)
    return heights


def spread_out(values: Sequence[float], gap: float) -> List[float]:
    """Move values apart so that labels there do not cover each other.

    Args:
        values (Sequence[float]): Where they belong.
        gap (float): The least distance between two.

    Returns:
        list[float]: Where they go, in the order of ``values``.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    # Neighbours that would touch form blocks, centred on what they stand for.
    blocks: List[List[int]] = []
    starts: List[float] = []
    for i in order:
        blocks.append([i])
        starts.append(values[i])
        while len(blocks) > 1 and (starts[-2] + gap * len(blocks[-2])
                                   > starts[-1]):
            members = blocks.pop(-2) + blocks.pop(-1)
            del starts[-2:]
            middle = sum(values[j] for j in members) / len(members)
            blocks.append(members)
            starts.append(middle - gap * (len(members) - 1) / 2)
    moved = [0.0] * len(values)
    for members, start in zip(blocks, starts):
        for place, i in enumerate(members):
            moved[i] = start + gap * place
    return moved
