# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""From work dirs to the files of a report."""
import os
import os.path as osp
from typing import List, Optional, Sequence

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write, disk_full_as_error
from .content import make_report
from .markdown import markdown
from .page import html_page
from .records import read_runs
from .settings import add_settings


def write_report(work_dirs: Sequence[str],
                 out_dir: Optional[str] = None,
                 title: Optional[str] = None) -> List[str]:
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
    report = make_report(runs, title)
    page, text = html_page(report), markdown(report)
    try:
        os.makedirs(out_dir, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'--out: {out_dir!r} cannot be made '
                          f'({error.strerror})') from None
    written = []
    with disk_full_as_error(out_dir):
        for chart in report.charts:
            written.append(osp.join(out_dir, f'{chart.name}.png'))
            with atomic_write(written[-1], 'wb') as file:
                file.write(chart.wide)
        for name, content in (('report.md', text), ('report.html', page)):
            written.append(osp.join(out_dir, name))
            with atomic_write(written[-1], 'wb') as file:
                file.write(content.encode('utf-8'))
    return written
