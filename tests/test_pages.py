# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Links of the pages have a target, and their words are of the field."""
import re
from pathlib import Path

import pytest

from mmdgkd.chain.method import Method

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [ROOT / 'README.md', *ROOT.glob('docs/**/*.md'),
                 *ROOT.glob('configs/**/*.md')])  # yapf: disable
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/**/*.py'))

# docs/glossary.md has other words for these: teacher, distilled from, active,
# dropped, lookup, cached. Config keys and file names stand in `code`.
RETIRED = re.compile(
    r'\b(guides?|hears?|heard|speaks?|silent|voices?|(?:is|was|are) asked'
    r'|answers?|remembers?|remembered|recalls?|recalled|mends?|mended'
    r'|verdicts?)\b', re.IGNORECASE)


def text_of(name):
    return (ROOT / name).read_text(encoding='utf-8')


def prose(page):
    """A page without code, file names and titles of papers."""
    text = re.sub(r'^```.*?^```', '', text_of(page), flags=re.M | re.S)
    text = re.sub(r'^>.*$', '', text, flags=re.M)
    return re.sub(r'`[^`]*`|\]\([^)]*\)', '', text)


def reachable(page):
    """The files of the checkout that a page links to."""
    for link in re.findall(r'\]\(([^)\s]+)\)', text_of(page)):
        if not link.startswith(('http', '#')):
            yield (ROOT / page).parent / link.partition('#')[0]


def anchors(page):
    """What its headings can be linked by."""
    text = re.sub(r'^```.*?^```', '', text_of(page), flags=re.M | re.S)
    for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE):
        yield re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES)
def test_its_links_lead_to_files_and_headings(page):
    missing = [str(path) for path in reachable(page) if not path.exists()]
    for link, anchor in re.findall(r'\]\(([^)\s#]*)#([^)\s]+)\)',
                                   text_of(page)):
        target = (ROOT / page).parent / link if link else ROOT / page
        if not link.startswith('http') and anchor not in anchors(target):
            missing.append(f'{link}#{anchor}')
    assert not missing


def test_every_page_is_reached_from_the_readme():
    found, todo = set(), [ROOT / 'README.md']
    while todo:
        page = todo.pop().resolve()
        if page not in found and page.suffix == '.md':
            found.add(page)
            todo += reachable(page)
    assert {ROOT / page for page in PAGES} <= found


@pytest.mark.parametrize('page', PAGES)
def test_no_retired_word_is_in_it(page):
    assert not RETIRED.findall(prose(page))


def test_no_retired_word_is_in_the_comments_of_configs():
    comments = {
        name: ' '.join(re.findall(r'#(.*)$', text_of(name), re.MULTILINE))
        for name in CONFIGS
    }
    assert not {
        name: RETIRED.findall(comment)
        for name, comment in comments.items() if RETIRED.search(comment)
    }


def test_the_readme_is_short():
    assert len(text_of('README.md').splitlines()) <= 150


@pytest.mark.parametrize('wanted', [
    'mmdgkd/models/connectors/keep_mask.py',
    'mmdgkd/logit_store/logit_store.py',
    'docs/reliability/README.md',
    'docs/new_method.md',
])
def test_a_newcomer_finds_it_within_one_hop_of_the_readme(wanted):
    """Where the mask is drawn, a logit looked up, what a resume restores."""
    first = [path.resolve() for path in reachable('README.md')]
    second = [
        path.resolve() for page in first if page.suffix == '.md'
        for path in reachable(page)
    ]
    assert ROOT / wanted in first + second


def test_the_page_on_methods_has_the_whole_protocol():
    text = text_of('docs/new_method.md')
    table = text.split('\n## The protocol\n')[1].split('\nAn algorithm')[0]
    names = set(re.findall(r'^\| `(\w+)` \|', table, re.MULTILINE))
    assert names == {name for name in vars(Method) if name[0] != '_'}
    example = text[text.index('class Toy(Method):'):]
    overridden = re.findall(r'^    (?:def )?(\w+)(?: = |\()',
                            example[:example.index('```')], re.MULTILINE)
    assert overridden and set(overridden) <= names
