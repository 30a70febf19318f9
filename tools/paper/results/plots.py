# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Drawing: one function a figure, of the data of ``figure_data``."""
from statistics import fmean
from typing import Any, Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .plot_parts import (BEST, COLOURS, CONTROLS, LABELS, MARKERS, add_keys,
                         line_of_means, short_pair, side_by_side, spread)


def methods(data: Mapping[str, Any]) -> Figure:
    """Best accuracies: points for seeds, a bar for the mean.

    Args:
        data (Mapping): Of :func:`figure_data.methods`.
    """
    heights = [len(panel['rows']) + 1.8 for panel in data.values()]
    figure = Figure((8, 0.75 + 0.225 * sum(heights)), layout='constrained')
    # Each with a range of its own: what differs by a point is to be seen.
    axes = figure.subplots(
        len(data), squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, data.values()):
        rows = panel['rows'][::-1]
        for y, row in enumerate(rows):
            colour = COLOURS[row['label']]
            ax.plot(
                [fmean(row['best'])] * 2, [y - .36, y + .36],
                color=colour,
                linewidth=2.5)
            ax.plot(
                row['best'],
                spread(y, len(row['best'])),
                's' if row['label'] in CONTROLS else 'o',
                color=colour,
                markersize=4.5,
                alpha=.8)
            if row['paper'] is not None:
                ax.plot(
                    row['paper'],
                    y,
                    'D',
                    color='none',
                    markeredgecolor='#888888',
                    markersize=6)
        ax.set_yticks(range(len(rows)), [row['label'] for row in rows])
        ax.set_ylim(-.7, len(rows) - .3)
        ax.set_title(panel['title'], loc='left')
        ax.grid(visible=False, axis='y')
    axes[-1].set_xlabel(BEST)
    keys = [('|', '#555555', 12, 3, 'mean'),
            ('o', '#555555', 5, 1, 'one seed')]
    if any(row['paper'] for panel in data.values() for row in panel['rows']):
        keys.append(('D', 'none', 6, 1, "the papers' (without augmentation, "
                     '160 epochs)'))
    add_keys(figure, axes[0], keys)
    figure.suptitle(
        'Best accuracy of the student by method (the panels have ranges of '
        'their own)',
        fontsize=11)
    return figure


def overlaps(data: Mapping[str, Any]) -> Figure:
    """Errors shared along the chain, and by teacher and student.

    Args:
        data (Mapping): Of :func:`figure_data.overlaps`.
    """
    figure = Figure((8, 0.6 + 2.3 * len(data)), layout='constrained')
    axes = figure.subplots(len(data), 2, squeeze=False)
    for (left, right), panel in zip(axes, data.values()):
        for ax, key, unit in ((left, 'both', 'images that both get wrong'),
                              (right, 'given',
                               "share of i's errors that j\nmakes too; "
                               'hollow: of all (%)')):
            for shift, (method, found) in zip((-.13, .13),
                                              panel['methods'].items()):
                label = LABELS[method]
                for one in found:
                    x = panel['pairs'].index(one['pair']) + shift
                    ax.plot(
                        [x] * len(one[key]),
                        one[key],
                        MARKERS[label],
                        color=COLOURS[label],
                        markersize=5,
                        alpha=.8,
                        label=label if one is found[0] else None)
                    ax.plot([x - .11, x + .11], [fmean(one[key])] * 2,
                            color=COLOURS[label],
                            linewidth=2)
                    if key == 'given':
                        ax.plot(
                            x,
                            fmean(one['smaller']),
                            MARKERS[label],
                            color='none',
                            markeredgecolor=COLOURS[label],
                            markersize=5)
            pairs = [short_pair(pair) for pair in panel['pairs']]
            ax.set_xticks(range(len(pairs)), pairs)
            ax.set_ylabel(unit)
            ax.margins(y=.12)
            ax.grid(visible=False, axis='x')
            # The last pair is no step of the chain.
            ax.axvline(len(pairs) - 1.5, color='#AAAAAA', linewidth=.8)
        left.set_title(panel['title'], loc='left')
    axes[0, 0].legend(loc='best')
    for ax in axes[-1]:
        ax.set_xlabel('pair of networks i → j (last: teacher → student)')
    figure.suptitle(
        'Errors that two networks of a chain share, of 10,000 test images',
        fontsize=11)
    return figure


def numbers_of_tas(data: Mapping[str, Any]) -> Figure:
    """Best accuracies by the number of TAs.

    Args:
        data (Mapping): Of :func:`figure_data.numbers_of_tas`.
    """
    figure, axes = side_by_side([panel['title'] for panel in data.values()],
                                'number of TAs (0: KD)',
                                'Best accuracy of the student by the number '
                                'of TAs')
    for ax, panel in zip(axes, data.values()):
        if panel['alone']:
            ax.axhline(
                fmean(panel['alone']),
                color=COLOURS['alone'],
                linestyle='--',
                label='alone')
        for shift, (method, found) in zip((-.05, .05),
                                          panel['methods'].items()):
            label = LABELS[method]
            colour = COLOURS[label]
            line_of_means(ax, [[x, values] for x, values in found], shift,
                          label, colour)
            for count, figure_ in panel['paper'][method]:
                ax.plot(
                    count + shift,
                    figure_,
                    MARKERS[label],
                    color='none',
                    markeredgecolor=colour,
                    markersize=7)
        if any(panel['paper'].values()):
            ax.plot([], [],
                    'o',
                    color='none',
                    markeredgecolor='#555555',
                    label="hollow: the papers'")
        ax.set_xticks([count for count, _ in panel['methods']['takd']])
    axes[0].legend()
    return figure


def survival(data: Mapping[str, Any]) -> Figure:
    """Best accuracies by the survival probability of a guide.

    Args:
        data (Mapping): Of :func:`figure_data.survival`.
    """
    figure, axes = side_by_side([panel['title'] for panel in data.values()],
                                'survival probability of a guide (1: DGKD)',
                                'Best accuracy of the student by how often a '
                                'guide speaks')
    for ax, panel in zip(axes, data.values()):
        by_kind = {
            kind: [[keep, values] for keep, name, values in panel['points']
                   if name == kind]
            for kind in ('chance', 'count')
        }
        line_of_means(ax, by_kind['chance'], 0, 'each guide by chance',
                      COLOURS['stochastic DGKD'], 'o')
        for keep, values in by_kind['count']:
            # Beside the other kind of the same probability.
            keep += .02
            ax.plot(
                [keep] * len(values),
                values,
                's',
                color=COLOURS['TAKD'],
                markersize=4.5,
                alpha=.7,
                label='exactly one silent')
            ax.plot([keep - .02, keep + .02], [fmean(values)] * 2,
                    color=COLOURS['TAKD'],
                    linewidth=1.6)
        for at, (keep, figure_) in enumerate(panel['paper']):
            ax.plot(
                keep - .02,
                figure_,
                'D',
                color='none',
                markeredgecolor='#888888',
                markersize=6,
                label="the paper's" if at == 0 else None)
        ax.set_xticks(sorted({point[0] for point in panel['points']}))
    axes[0].legend()
    return figure


def learning_curves(data: Mapping[str, Any]) -> Figure:
    """The accuracy after each epoch: the mean, and between which seeds.

    Args:
        data (Mapping): Of :func:`figure_data.learning_curves`.
    """
    figure = Figure((8, 4.2), layout='constrained')
    whole, end = figure.subplots(1, 2)
    for number, (label, curves) in enumerate(data['curves'].items()):
        by_epoch: dict = {}
        for curve in curves:
            for epoch, value in curve:
                by_epoch.setdefault(epoch, []).append(value)
        # Epochs that only some seeds have validated would make jumps.
        found = {
            epoch: values
            for epoch, values in sorted(by_epoch.items())
            if len(values) == len(curves)
        }
        for ax in (whole, end):
            # What is cut off must not set the limits of the right panel.
            shown = {
                epoch: values
                for epoch, values in found.items()
                if ax is whole or epoch > max(found) // 2
            }
            every = max(1, len(shown) // 5)
            ax.plot(
                list(shown), [fmean(values) for values in shown.values()],
                color=COLOURS[label],
                linestyle=(0, (4, 2)) if label in CONTROLS else '-',
                marker=MARKERS[label],
                markersize=4.5,
                markerfacecolor='white' if label in CONTROLS else None,
                markevery=(number % every, every),
                label=f'{label} (n = {len(curves)})')
            ax.fill_between(
                list(shown), [min(values) for values in shown.values()],
                [max(values) for values in shown.values()],
                color=COLOURS[label],
                alpha=.15,
                linewidth=0)
    for ax in (whole, end):
        ax.set_xlabel('epoch')
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=.02)
    whole.set_ylabel('top-1 accuracy on the test images (%)')
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc='outside lower center', ncols=4, handlelength=3.5)
    end.set_title('the second half', loc='left')
    figure.suptitle(
        f'Accuracy of the student during training: {data["title"]}\n'
        'line: mean of the seeds, shade: from the lowest to the highest',
        fontsize=10)
    return figure
