# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A report as one HTML file that needs nothing else."""
import base64
from html import escape
from typing import List

from mmdgkd.report.charts.canvas import Chart
from .content import Report, Section
from .tables import Table

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1f2933;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 1036px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .8rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .7rem; padding-top: .9rem;
  border-top: 1px solid #d9dee3; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
.headline { font-size: 1.1rem; border-left: 4px solid #0065a8;
  padding-left: 1rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.4rem; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, .note { color: #46525e; font-size: .88rem; max-width: 46rem; }
.scroll { overflow-x: auto; border: 1px solid #d9dee3; border-radius: 6px;
  background: linear-gradient(to right, #fff 40%, transparent),
  linear-gradient(to left, #fff 40%, transparent) 100% 0,
  linear-gradient(to right, rgba(31, 41, 51, .22), transparent),
  linear-gradient(to left, rgba(31, 41, 51, .22), transparent) 100% 0;
  background-size: 40px 100%, 40px 100%, 12px 100%, 12px 100%;
  background-repeat: no-repeat;
  background-attachment: local, local, scroll, scroll; }
.scroll:focus-visible { outline: 3px solid #0065a8; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { text-align: left; padding: .42rem .45rem; vertical-align: top;
  border-bottom: 1px solid #e8ebee; }
tr:last-child > * { border-bottom: 0; }
thead th { border-bottom: 2px solid #9aa5b1; vertical-align: bottom; }
tbody th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
thead th.number { white-space: normal; }
td.short { white-space: nowrap; }
td.long { min-width: 16rem; overflow-wrap: anywhere; }
table.facts tbody th { white-space: normal; width: 34%; }
table.facts td { min-width: 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr;
  gap: .35rem 1.1rem; font-size: .92rem; margin: .8rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
footer { color: #46525e; font-size: .85rem; padding-top: 2rem;
  padding-bottom: 3rem; }
@media (max-width: 600px) {
  main, header, footer { padding-left: 20px; padding-right: 20px; }
  header { padding-top: 24px; }
  h1 { font-size: 1.35rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .6rem; }
}
@media print { .scroll { overflow: visible; border: 0; }
  figure, tr { break-inside: avoid; } }
"""


def html_page(report: Report) -> str:
    """Write a report as HTML: no script, and nothing to load.

    Args:
        report (Report): It.
    """
    headline = ' '.join(map(escape, report.headline))
    parts = [
        '<!DOCTYPE html>', '<html lang="en">', '<head>',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, '
        'initial-scale=1">', f'<title>{escape(report.title)}</title>',
        f'<style>{_STYLE}</style>', '</head>', '<body>', '<header>',
        f'<h1>{escape(report.title)}</h1>',
        f'<p class="headline">{headline}</p>', '</header>', '<main>'
    ]
    for section in report.sections:
        parts += _section(section)
    parts += [
        '</main>', f'<footer>{escape(report.footer)}</footer>', '</body>',
        '</html>', ''
    ]
    return '\n'.join(parts)


def _section(section: Section) -> List[str]:
    parts = ['<section>', f'<h2>{escape(section.title)}</h2>']
    if section.text:
        parts.append(f'<p>{escape(section.text)}</p>')
    parts += [_figure(chart) for chart in section.charts]
    for table in section.tables:
        parts += _table(table)
    if section.words:
        parts.append('<h3>Words</h3>')
        parts.append('<dl>')
        parts += [
            f'<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>'
            for word, meaning in section.words
        ]
        parts.append('</dl>')
    return [*parts, '</section>']


def _figure(chart: Chart) -> str:
    wide, narrow = (f'data:image/png;base64,{base64.b64encode(data).decode()}'
                    for data in (chart.wide, chart.narrow))
    caption = f'<figcaption>{escape(chart.caption)}</figcaption>' if (
        chart.caption) else ''
    return (f'<h3>{escape(chart.title)}</h3>\n<figure><picture>'
            f'<source media="(max-width: 600px)" srcset="{narrow}">'
            f'<img src="{wide}" alt="{escape(chart.alt)}">'
            f'</picture>{caption}</figure>')


def _table(table: Table) -> List[str]:
    kinds = [
        '' if i < table.words else ' class="number"'
        for i in range(len(table.head))
    ]
    head = ''.join(f'<th scope="col"{kind}>{escape(cell)}</th>'
                   for cell, kind in zip(table.head, kinds))
    facts = ' class="facts"' if len(table.head) == table.words == 2 else ''
    parts = [
        f'<h3>{escape(table.title)}</h3>',
        f'<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(table.title)}">',
        f'<table{facts}><thead><tr>{head}</tr></thead><tbody>'
    ]
    for row in table.rows:
        cells = [f'<th scope="row">{escape(row[0])}</th>']
        for cell, kind in zip(row[1:], kinds[1:]):
            if not kind and not 20 < len(cell) <= 40:
                kind = f' class="{"short" if len(cell) < 21 else "long"}"'
            cells.append(f'<td{kind}>{escape(cell)}</td>')
        parts.append(f'<tr>{"".join(cells)}</tr>')
    parts.append('</tbody></table></div>')
    if table.note:
        parts.append(f'<p class="note">{escape(table.note)}</p>')
    return parts
