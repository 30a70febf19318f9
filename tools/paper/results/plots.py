# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Drawing: one function a figure, of the frames of ``figures``.

Sizes are for a page of 800 pixels. The colours and markers are those of
:data:`mmdgkd.report.methods.METHOD_STYLES`; a control has those of its method,
hollow. Shapes and labels distinguish them without colour, too.
"""
from typing import Any, ContextManager, Dict

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmdgkd.report.methods import METHOD_STYLES
from .results import METHODS

_BEST = 'best top-1 accuracy on the test images (%)'
_HOLLOW = dict(markerfacecolor='white')
_PAPER = dict(
    marker='D', color='#888888', markerfacecolor='none', markersize=6)


def style() -> ContextManager:
    """The settings of Matplotlib for these figures."""
    return rc_context({
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
    })


def methods(data: pd.DataFrame) -> Figure:
    """Best accuracies: points for seeds, a bar for the mean."""
    panels = list(data.groupby('panel', sort=False))
    heights = [panel['label'].nunique() + 1.8 for _, panel in panels]
    figure = Figure((8, 0.75 + 0.225 * sum(heights)), layout='constrained')
    # Each with a range of its own: what differs by a point is to be seen.
    axes = figure.subplots(
        len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for ax, (title, panel) in zip(axes, panels):
        rows = list(panel.groupby('label', sort=False))[::-1]
        for y, (label, row) in enumerate(rows):
            look = _look(label)
            ax.plot(
                [row['best'].mean()] * 2, [y - .36, y + .36],
                color=look['color'],
                linewidth=2.5)
            # Side by side: seeds would hide each other.
            shifts = .16 * (pd.RangeIndex(len(row)) - (len(row) - 1) / 2)
            ax.plot(row['best'], y + shifts, **look, linestyle='', alpha=.8)
            ax.plot(row['paper'].iloc[:1], [y], **_PAPER, linestyle='')
        ax.set_yticks(range(len(rows)), [label for label, _ in rows])
        ax.set_ylim(-.7, len(rows) - .3)
        ax.set_title(title, loc='left')
        ax.grid(visible=False, axis='y')
    axes[-1].set_xlabel(_BEST)
    grey = dict(color='#555555', linestyle='')
    keys = [
        _key(axes[0], 'mean', **grey, marker='|', markersize=12, mew=3),
        _key(axes[0], 'one seed', **grey, marker='o', markersize=5)
    ]
    if data['paper'].notna().any():
        keys.append(
            _key(
                axes[0],
                "the papers' (without augmentation, 160 epochs)",
                **_PAPER,
                linestyle=''))
    figure.legend(handles=keys, loc='outside lower center', ncols=len(keys))
    figure.suptitle(
        'Best accuracy of the student by method (the panels have ranges of '
        'their own)',
        fontsize=11)
    return figure


def overlaps(data: pd.DataFrame) -> Figure:
    """Errors shared along the chain, and by teacher and student."""
    panels = list(data.groupby('panel', sort=False))
    figure = Figure((8, 0.6 + 2.3 * len(panels)), layout='constrained')
    axes = figure.subplots(len(panels), 2, squeeze=False)
    units = dict(
        both='images that both get wrong',
        given="share of i's errors that j\nmakes too; hollow: of all (%)")
    for (title, panel), row in zip(panels, axes):
        pairs = [
            pair for pair in panel['pair'].cat.categories
            if (panel['pair'] == pair).any()
        ]
        for ax, (key, unit) in zip(row, units.items()):
            for (method, pair), runs in panel.groupby(['method', 'pair'],
                                                      observed=True):
                look = _look(METHOD_STYLES[method].label)
                x = pairs.index(pair) + (.13 if method == 'dgkd' else -.13)
                ax.plot([x] * len(runs), runs[key], **look, linestyle='')
                ax.plot([x - .11, x + .11], [runs[key].mean()] * 2,
                        color=look['color'],
                        linewidth=2)
                if key == 'given':
                    ax.plot(x, runs['smaller'].mean(),
                            **dict(look, markerfacecolor='none'))
            ax.set_xticks(range(len(pairs)), pairs)
            ax.set_ylabel(unit)
            ax.margins(y=.12)
            ax.grid(visible=False, axis='x')
            # The last pair is no step of the chain.
            ax.axvline(len(pairs) - 1.5, color='#AAAAAA', linewidth=.8)
        row[0].set_title(title, loc='left')
    for label in ('TAKD', 'DGKD'):
        _key(axes[0, 0], label, **_look(label), linestyle='')
    axes[0, 0].legend(loc='best')
    for ax in axes[-1]:
        ax.set_xlabel('pair of networks i → j (last: teacher → student)')
    figure.suptitle(
        'Errors that two networks of a chain share, of 10,000 test images',
        fontsize=11)
    return figure


def numbers_of_tas(data: pd.DataFrame) -> Figure:
    """Best accuracies by the number of TAs."""
    takd, dgkd = _look('TAKD'), _look('DGKD')
    looks = {
        'alone': (_look('alone'), 0, 'alone'),
        'takd': (takd, -.05, 'TAKD'),
        'dgkd': (dgkd, .05, 'DGKD'),
        'takd paper': (takd | _HOLLOW, -.05, "hollow: the papers'"),
        'dgkd paper': (dgkd | _HOLLOW, .05, None),
    }
    return _by_number(data, looks, 'number of TAs (0: KD)', 'number of TAs')


def survival(data: pd.DataFrame) -> Figure:
    """Best accuracies by the survival probability of a teacher."""
    look = _look('stochastic DGKD')
    looks = {
        'random': (look, 0, 'each at random'),
        # Beside the other kind of the same probability.
        'one': (look | _HOLLOW, .02, 'exactly one dropped'),
        'paper': (_PAPER, -.02, "the paper's"),
    }
    return _by_number(data, looks, 'survival probability of a teacher (1: '
                      'DGKD)', 'survival probability of a teacher')


def learning_curves(data: pd.DataFrame) -> Figure:
    """The accuracy after each epoch: the mean, and the range of the seeds."""
    figure = Figure((8, 4.2), layout='constrained')
    left, right = figure.subplots(1, 2)
    for number, (label, runs) in enumerate(data.groupby('label', sort=False)):
        # Epochs that only some seeds have validated would make jumps.
        curves = runs.pivot(
            index='epoch', columns='seed', values='accuracy').dropna()
        look = _look(label)
        for ax, start in ((left, 0), (right, curves.index.max() // 2)):
            # What is cut off must not set the limits of the right panel.
            shown = curves[curves.index > start]
            every = max(1, len(shown) // 5)
            ax.plot(
                shown.index,
                shown.mean(axis=1),
                **look,
                linestyle=(0, (4, 2)) if METHODS[label].variant else '-',
                markevery=(number % every, every),
                label=f'{label} (n = {curves.shape[1]})')
            ax.fill_between(
                shown.index,
                shown.min(axis=1),
                shown.max(axis=1),
                color=look['color'],
                alpha=.15,
                linewidth=0)
    for ax in (left, right):
        ax.set_xlabel('epoch')
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=.02)
    left.set_ylabel('top-1 accuracy on the test images (%)')
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc='outside lower center', ncols=4, handlelength=3.5)
    right.set_title('the second half', loc='left')
    figure.suptitle(
        f'Accuracy of the student during training: {data["panel"].iloc[0]}\n'
        'line: mean of the seeds, shade: from the lowest to the highest',
        fontsize=10)
    return figure


def _look(label: str) -> dict:
    """Colour and marker of a method."""
    method = METHODS[label]
    return dict(
        color=method.style.color,
        marker=method.style.marker,
        markersize=4.5,
        markerfacecolor='white' if method.variant else method.style.color)


def _key(ax: Axes, label: str, **look: Any) -> Any:
    """An entry of the legend."""
    return ax.plot([], [], label=label, **look)[0]


def _by_number(data: pd.DataFrame, looks: Dict, below: str,
               what: str) -> Figure:
    """Panels that show the best accuracy by a number.

    Args:
        data (DataFrame): With the columns ``panel``, ``kind``, ``x`` (none: a
            level) and ``best``.
        looks (dict): The look of each kind, its shift to the right, and its
            label.
        below (str): The label of the x axes.
        what (str): The number, for the title.
    """
    panels = list(data.groupby('panel', sort=False))
    figure = Figure((8 if len(panels) > 1 else 6, 3.4), layout='constrained')
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, panel) in zip(axes, panels):
        # Three are too narrow for a title in one line.
        ax.set_title(
            title.replace(', ', '\n', 1) if len(panels) > 2 else title,
            loc='left')
        for kind, (look, shift, label) in looks.items():
            runs = panel[panel['kind'] == kind]
            if runs.empty:
                continue
            if runs['x'].isna().all():
                ax.axhline(
                    runs['best'].mean(),
                    color=look['color'],
                    linestyle='--',
                    label=label)
                continue
            is_hollow = look['markerfacecolor'] in ('none', 'white')
            x, means = runs['x'] + shift, runs.groupby('x')['best'].mean()
            ax.plot(
                x,
                runs['best'],
                **look,
                linestyle='',
                alpha=.7,
                label=label if is_hollow else None)
            if 'paper' not in kind:
                ax.plot(
                    means.index + shift,
                    means,
                    color=look['color'],
                    marker='_',
                    markersize=12,
                    label=None if is_hollow else label)
        ax.set_xticks(sorted(panel['x'].dropna().unique()))
    axes[0].legend()
    # The axis is too short for it in one line, too.
    axes[0].set_ylabel(_BEST.replace(' on ', '\non '))
    figure.supxlabel(below, fontsize=9)
    figure.suptitle(f'Best accuracy of the student by the {what}', fontsize=11)
    return figure
