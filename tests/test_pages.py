# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The links of the pages lead somewhere."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [ROOT / 'README.md', *ROOT.glob('docs/**/*.md'),
                 *ROOT.glob('configs/**/*.md')])  # yapf: disable


def reachable(page):
    """The files of the checkout that a page links to."""
    text = (ROOT / page).read_text(encoding='utf-8')
    for link in re.findall(r'\]\(([^)\s]+)\)', text):
        if not link.startswith(('http', '#')):
            yield (ROOT / page).parent / link.partition('#')[0]


@pytest.mark.parametrize('page', PAGES)
def test_its_links_lead_to_files(page):
    missing = [str(path) for path in reachable(page) if not path.exists()]
    assert not missing


def test_every_page_is_reached_from_the_readme():
    found, todo = set(), [ROOT / 'README.md']
    while todo:
        page = todo.pop().resolve()
        if page not in found and page.suffix == '.md':
            found.add(page)
            todo += reachable(page)
    assert {ROOT / page for page in PAGES} <= found
