# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A report as Markdown, with its pictures as files beside it."""
import re
from typing import List

from .content import Report, Section
from .tables import Table


def markdown(report: Report) -> str:
    """Write a report as Markdown for a README.

    Args:
        report (Report): It. Its pictures are ``<name>.png`` beside.
    """
    parts = [f'# {_plain(report.title)}', _plain(' '.join(report.headline))]
    for section in report.sections:
        parts += _section(section)
    parts.append(f'*{_plain(report.footer)}*')
    return '\n\n'.join(parts) + '\n'


def _section(section: Section) -> List[str]:
    parts = [f'## {_plain(section.title)}']
    if section.text:
        parts.append(_plain(section.text))
    for chart in section.charts:
        parts.append(f'### {_plain(chart.title)}')
        parts.append(f'![{_plain(chart.alt)}]({chart.name}.png)')
        if chart.caption:
            parts.append(_plain(chart.caption))
    for table in section.tables:
        parts += [f'### {_plain(table.title)}', _table(table)]
        if table.note:
            parts.append(_plain(table.note))
    if section.words:
        parts.append('\n'.join(f'- **{_plain(word)}**: {_plain(meaning)}'
                               for word, meaning in section.words))
    return parts


def _table(table: Table) -> str:
    lines = [
        table.head,
        ['---' if i < table.words else '---:' for i in range(len(table.head))],
        *table.rows
    ]
    return '\n'.join(
        f'| {" | ".join(cell if n == 1 else _plain(cell) for cell in line)} |'
        for n, line in enumerate(lines))


def _plain(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is."""
    text = re.sub(r'\s+', ' ', text)
    text = text.replace('&', '&amp;').replace('<', '&lt;')
    return re.sub(r'([\\`*_|\[\]#])', r'\\\1', text)
