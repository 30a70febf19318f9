# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a report says, before it becomes a page or Markdown."""
import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from mmdgkd.report.charts.accuracy import accuracy_chart, seeds_chart
from mmdgkd.report.charts.canvas import Chart
from mmdgkd.report.charts.chain_picture import chain_picture
from mmdgkd.report.charts.curves import curves_chart
from mmdgkd.report.charts.times import times_chart
from mmdgkd.version import __version__
from .groups import (METHOD_NAMES, Group, Levels, Variant, group_runs,
                     group_stages)
from .headline import chains_of, headline
from .records import Run
from .store import Savings
from .tables import (Table, results_table, runs_table, settings_table,
                     times_table, versions_table)
from .words import listed

_LABELS = (
    ('teacher', 'the largest network of a chain; it is trained first'),
    ('TA', 'teacher assistant: a network between teacher and student, trained '
     'in its turn'),
    ('student', 'the smallest network, for which all is done'),
    ('teachers',
     'networks that are trained already and stay as they are; beside'
     ' the labels, or instead of them, a network learns to answer as its '
     'teachers do'),
    ('stage', 'the training of one network of the chain'),
    ('store', 'the logit store: a file of what a teacher has answered to each '
     'image, so that it need not be computed again'),
    ('last, best', 'the metric after the last epoch, which is that of the '
     'network that the stage leaves behind; and that of the best epoch, which '
     'was picked by looking at the same test or validation data, and so is '
     'too high rather than too low'),
    ('n, ±', 'number of trainings that differ in nothing but the seed; the '
     'sample standard deviation (n - 1) over them'),
    ('MACs', 'multiply-accumulate operations of the network for one image'),
)


@dataclass
class Section:
    """A part of a report.

    Attributes:
        title (str): Its heading.
        text (str): What is said first.
        charts (list[Chart]): Its pictures.
        tables (list[Table]): Its tables, below the pictures.
        words (list[tuple[str, str]]): Words and what they mean.
    """

    title: str
    text: str = ''
    charts: List[Chart] = field(default_factory=list)
    tables: List[Table] = field(default_factory=list)
    words: List[Tuple[str, str]] = field(default_factory=list)


@dataclass
class Report:
    """All that a report says.

    Attributes:
        title (str): Its heading.
        headline (list[str]): What was trained and what came out, sentences.
        sections (list[Section]): The rest.
        footer (str): Who made it, and from what.
    """

    title: str
    headline: List[str]
    sections: List[Section]
    footer: str

    @property
    def charts(self) -> List[Chart]:
        """All its pictures."""
        return [chart for section in self.sections for chart in section.charts]


def make_report(runs: Sequence[Run], title: Optional[str] = None) -> Report:
    """Say what was trained and what came out.

    Args:
        runs (Sequence[Run]): All runs, with their settings.
        title (str, optional): The heading. Defaults to None: the networks.
    """
    groups, variants = group_stages(runs), group_runs(runs)
    levels, savings = Levels(runs), Savings(runs)
    sections = [
        _chain_section(variants, levels),
        _results_section(groups, variants, levels),
        _curves_section(variants, levels),
        Section(
            'Time, and what the store saved',
            charts=_given([times_chart(variants, savings)]),
            tables=[times_table(variants, savings)]),
        Section(
            'Settings and versions',
            tables=[settings_table(variants),
                    versions_table(variants)]),
        Section(
            'The runs',
            text='Each is a work dir; all else here was read from there.',
            tables=[runs_table(runs)]),
    ]
    notes: Dict[str, List[str]] = {}
    for run in runs:
        if run.note:
            notes.setdefault(run.note, []).append(run.label)
    for note, labels in notes.items():
        sections[-1].text += f' Of {listed(labels)}: {note}.'
    chains = chains_of(variants)
    return Report(
        title or f'Training the {"chains" if len(chains) > 1 else "chain"} '
        f'{listed(chains)}', headline(groups, variants), sections,
        f'Made by tools/report.py of mmdgkd {__version__} from the ledgers '
        '(chain.json) and configs of the work dirs.')


def _chain_section(variants: Sequence[Variant], levels: Levels) -> Section:
    methods = list(
        dict.fromkeys(stage.method for variant in variants
                      for run in variant.runs
                      for stage in run.stages.values()))
    first = next((variant for variant in variants if any(
        variant.stage(name).teachers for name in variant.names)), None)
    words = [(method, METHOD_NAMES[method]) for method in METHOD_NAMES
             if method in methods]
    return Section(
        'The chain',
        'A chain of networks, from a large one to a small one, is trained one '
        'after the other. The number in a box is the metric after the last '
        'epoch, the mean where there are several seeds.',
        charts=[
            chain_picture(variant, levels, _file('chain', variant, variants),
                          variant is first) for variant in variants
        ],
        words=[*_LABELS, *words])


def _curves_section(variants: Sequence[Variant], levels: Levels) -> Section:
    charts: List[Chart] = []
    for variant in variants:
        # The first one that there is says how to read them.
        charts += _given([
            curves_chart(variant, levels, _file('curves', variant, variants),
                         not charts)
        ])
    return Section('Learning curves', charts=charts)


def _results_section(groups: Sequence[Group], variants: Sequence[Variant],
                     levels: Levels) -> Section:
    few = any(len(group.done) < 3 for group in groups if group.done)
    text = ('Some rows rest on fewer than three seeds: differences between '
            'them may be chance.' if few else '')
    return Section(
        'What came out',
        text,
        charts=_given([accuracy_chart(groups),
                       seeds_chart(groups)]),
        tables=[results_table(groups, variants, levels)])


def _file(what: str, variant: Variant, variants: Sequence[Variant]) -> str:
    """The name of a picture's file, which is the same at each report."""
    if len(variants) == 1:
        return what
    slugs = [
        re.sub(r'[^a-z0-9]+', '_', one.method.lower()).strip('_')
        for one in variants
    ]
    place = variants.index(variant)
    slug = slugs[place]
    if slugs.count(slug) > 1:
        slug += f'_{place + 1}'
    return f'{what}_{slug}'


def _given(charts: Iterable[Optional[Chart]]) -> List[Chart]:
    return [chart for chart in charts if chart is not None]
