# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""From work dirs to the files of a report."""
import os
import os.path as osp
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write, disk_full_as_error
from mmdgkd.version import __version__
from . import confusion, formatting, plots, summary
from .comparison import compare
from .groups import Levels, Savings, Variant, group_runs, group_stages
from .methods import METHOD_STYLES
from .programs import programs_of
from .records import Run, Stage, read_runs
from .settings import add_settings
from .weighed import weighed_in


def write_report(work_dirs: Sequence[str],
                 out_dir: str | None = None,
                 title: str | None = None) -> list[str]:
    """Report what work dirs hold, as a page, as Markdown and as pictures.

    All is read and drawn before anything is written. The configs of the work
    dirs are run, as all configs are to be read: give trusted ones only.

    Args:
        work_dirs (Sequence[str]): The work dirs.
        out_dir (str, optional): Where the files go. Defaults to None:
            ``report`` in the first work dir.
        title (str, optional): The heading. Defaults to None: the networks.

    Returns:
        list[str]: The files: the PNGs, ``report.md`` and ``report.html``.

    Raises:
        ConfigError: If a work dir holds no readable ledger, or ``out_dir``
            cannot be made, or is the folder of a network.
        TrainingError: If the disk is full.
    """
    runs = read_runs(work_dirs)
    out_dir = out_dir or osp.join(work_dirs[0], 'report')
    for run in runs:
        for name in run.stages:
            if osp.realpath(out_dir) == osp.realpath(osp.join(run.path, name)):
                raise ConfigError(f'--out: {out_dir!r} is the folder of the '
                                  f'network "{name}"; choose another')
    for run in runs:
        add_settings(run)
    content = _content(runs, title)
    panels = [
        *content['accuracy'], *sum(content['curves'].values(), []),
        *content['programs'].panels, *content['time_panels'], *sum(
            (one.panels for one in content['weighed']), []),
        *content['pictures']
    ]
    files = {f'{panel.name}.png': panel.png for panel in panels}
    for kind in ('md', 'html'):
        files[f'report.{kind}'] = _render(kind, content).encode('utf-8')
    try:
        os.makedirs(out_dir, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'--out: {out_dir!r} cannot be made '
                          f'({error.strerror})') from None
    with disk_full_as_error(out_dir):
        for name, data in files.items():
            with atomic_write(osp.join(out_dir, name), 'wb') as file:
                file.write(data)
    return [osp.join(out_dir, name) for name in files]


def _content(runs: Sequence[Run], title: str | None) -> dict[str, Any]:
    """What the templates get."""
    groups = group_stages(runs)
    variants = group_runs(runs, groups)
    levels, savings = Levels(runs), Savings(runs)
    chains = summary.chains_of(variants)
    times = {
        one.method: [
            savings.time_of(one, name) for name in one.names
            if one.stage(name).state != 'given'
        ]
        for one in variants
    }
    comparisons = compare(variants, levels)
    for i, one in enumerate(comparisons, 1):
        one.panels = confusion.plot_confusion(one, f'confusion_{i}')
    metrics = {one.first.metric for one in groups if one.first.metric}
    metric = ' / '.join(map(formatting.format_metric, sorted(metrics)))
    notes: dict[str, list[str]] = {}
    for run in runs:
        if run.note:
            notes.setdefault(run.note, []).append(run.label)
    return dict(
        title=title or f'Training the chain{"s" * (len(chains) > 1)} '
        f'{formatting.format_list(chains)}',
        summary=summary.summarize(groups, variants),
        version=__version__,
        runs=runs,
        groups=groups,
        few_seeds=any(0 < len(group.done) < 3 for group in groups),
        given=_given(variants, levels),
        variants=variants,
        levels=levels,
        metric=metric,
        notes=notes,
        methods={one.method
                 for run in runs
                 for one in run.stages.values()},
        times=times,
        settings=summary.settings_of(variants),
        versions=summary.versions_of(variants),
        accuracy=plots.plot_accuracy(groups, metric),
        curves={
            one.method: plots.plot_curves(one, levels, f'curves_{i}')
            for i, one in enumerate(variants, 1)
        },
        programs=programs_of(runs, levels),
        weighed=weighed_in(runs),
        time_panels=plots.plot_times(times),
        comparisons=comparisons,
        pictures=[
            panel for one in comparisons
            for panel in (*one.panels, *(image.picture
                                         for image in one.differences))
            if panel
        ])


def _given(variants: Sequence[Variant], levels: Levels) -> dict[str, Stage]:
    """The networks that none of the runs has trained."""
    given: dict[str, Stage] = {}
    for variant in variants:
        for name in variant.names:
            stage = variant.stage(name)
            # By its file: another chain may have trained one of its name.
            if stage.state == 'given' and not levels.origin(stage):
                given.setdefault(name, stage)
    return given


def _render(kind: str, content: dict[str, Any]) -> str:
    """Fill the templates: ``report.j2``, with the macros of ``<kind>.j2``."""
    env = Environment(
        loader=PackageLoader('mmdgkd.report'),
        autoescape=True,
        extensions=['jinja2.ext.do'],
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_escape_markdown if kind == 'md' else None)
    env.filters.update(
        count=formatting.format_count,
        duration=formatting.format_duration,
        listed=formatting.format_list,
        number=formatting.format_number,
        short=formatting.format_short,
        stages=summary.states_of,
        state=summary.state_of)
    env.globals.update(
        color=plots.network_color, DASH=formatting.DASH, styles=METHOD_STYLES)
    text = env.get_template('report.j2').render(kind=kind, **content)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'


def _escape_markdown(value: Any) -> Any:
    """Text that Markdown and the HTML in it leave as it is."""
    if hasattr(value, '__html__'):
        return value
    text = re.sub(r'\s+', ' ', str(value))
    text = text.replace('&', '&amp;').replace('<', '&lt;')
    return Markup(re.sub(r'([\\`*_|\[\]#])', r'\\\1', text))
