# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The site: ``sphinx-build -W -q -c docs . site`` in the root of a checkout.

The source folder is the checkout, so that the pages in ``docs/``, the cards
in ``configs/`` and ``README.md`` stay where they are, and their relative links
lead to the same places here and on GitHub. Three rules beside Sphinx's own:

- ``docs/index.md`` and the table of ``configs/README.md`` are the tables of
  contents: no page has to list its links a second time.
- A link to a file that is no page leads to a page that shows the file.
- The API reference has what the packages export, read from the source files:
  mmdgkd is not imported.
"""
import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[1]

project = 'mmdgkd'
author = 'mmdgkd contributors'
copyright = author
version = release = re.search(r"__version__ = '(.+)'",
                              (ROOT / 'mmdgkd/version.py').read_text())[1]

extensions = [
    'myst_parser', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode',
    'autoapi.extension'
]
root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/**.md', 'docs/api/**.rst', 'configs/**.md']
# Not walked through: data/ may have millions of files.
exclude_patterns = [
    path.name for path in ROOT.iterdir()
    if path.is_dir() and path.name not in ('docs', 'configs')
]
highlight_language = 'none'  # Of a block that names none: mostly tables.
nitpicky = True
# What other packages have: there is no network to look it up.
nitpick_ignore_regex = [
    ('py:.*', r'(torch|numpy|mm(cv|engine|pretrain|razor))\..*'),
]

# GitHub's ids of headings, by which the pages link to each other.
myst_heading_anchors = 4

# Readable on a telephone, in the dark and without a network; from PyPI, where
# OpenMMLab's own theme is not.
html_theme = 'furo'
html_title = f'mmdgkd {version}'
html_static_path = ['_static']
html_css_files = ['site.css']
templates_path = ['_templates']
html_additional_pages = {'index': 'to_index.html'}
html_copy_source = False

autoapi_dirs = [str(ROOT / 'mmdgkd')]
autoapi_root = 'docs/api'
autoapi_add_toctree_entry = False
autoapi_options = ['members', 'imported-members', 'show-inheritance']
# The docstrings have the types.
autodoc_typehints = 'none'
napoleon_use_param = napoleon_use_rtype = False
napoleon_custom_sections = [('Attributes', 'params_style')]

# Modules that are used by their own name: docs/new_method.md.
MODULES = ('mmdgkd.chain.method', 'mmdgkd.models.utils.networks')


def is_shown(module):
    """Whether the API reference has a page of a module or package."""
    init = ROOT / module.replace('.', '/') / '__init__.py'
    return module in MODULES or init.exists() and '__all__' in init.read_text()


def skip_member(app, what, name, obj, skip, options):
    """Leave out what no package exports; the innermost one has it."""
    if what in ('package', 'module'):
        return not is_shown(name)
    origin = obj.obj.get('original_path', '').rpartition('.')[0]
    return skip or origin and is_shown(origin)


def resolve_name(app, env, node, contnode):
    """A name without its package, and one that is not exported."""
    if node.get('refdomain') != 'py':
        return None
    name = node['reftarget'].rpartition('.')[2]
    domain = env.get_domain('py')
    found = {
        entry.node_id: entry
        for full_name, entry in domain.objects.items()
        if full_name.rpartition('.')[2] == name
    }
    if len(found) == 1:
        entry, = found.values()
        return make_refnode(app.builder, node['refdoc'], entry.docname,
                            entry.node_id, contnode)
    if any(
            full_name.rpartition('.')[2] == name
            for full_name in env.autoapi_all_objects):
        return contnode
    return None


def read_page(app, doctree):
    """Apply the first two rules of above to a page."""
    page = app.env.docname
    if page == root_doc:
        for section in doctree.findall(nodes.section):
            for entries in section.children:
                if isinstance(entries, nodes.bullet_list):
                    section += contents(page, entries, section[0].astext())
    elif page == 'configs/README':
        table = next(doctree.findall(nodes.table))
        table.parent += contents(page, table)
    if not hasattr(app.env, 'linked_files'):
        app.env.linked_files = set()
    for link in list(doctree.findall(addnodes.download_reference)):
        file = app.env.relfn2path(link['reftarget'])[0]
        if Path(file).suffix in ('.png', '.jpg', '.pdf'):
            continue
        app.env.linked_files.add(file)
        uri = app.builder.get_relative_uri(page, f'files/{file}')
        link.replace_self(
            nodes.reference('', '', *link.children, refuri=uri, internal=True))


def contents(page, links, caption=None):
    """A hidden toctree of the first page of each item or row."""
    entries = {}
    for part in links.findall(
            lambda node: isinstance(node, (nodes.list_item, nodes.row))):
        for link in list(part.findall(addnodes.pending_xref))[:1]:
            entries[link['reftarget']] = link.astext()
    if caption == 'Reference':
        entries['docs/api/mmdgkd/index'] = 'API'
    return addnodes.toctree(
        '',
        entries=[(title, name) for name, title in entries.items()],
        includefiles=list(entries),
        caption=caption,
        rawcaption=caption,
        parent=page,
        maxdepth=-1,
        glob=False,
        hidden=True,
        includehidden=False,
        numbered=0,
        titlesonly=True)


def show_files(app):
    """The pages of the files that are linked."""
    for file in sorted(app.env.linked_files):
        text = (ROOT / file).read_text(encoding='utf-8')
        lexer = 'python' if file.endswith('.py') else 'text'
        code = app.builder.highlighter.highlight_block(text, lexer)
        yield (f'files/{file}', {
            'title': file,
            'body': f'<h1>{escape(file)}</h1>\n{code}'
        }, 'page.html')


def find_source(app, module):
    """The code that [source] leads to, also of modules that have no page."""
    path = ROOT / module.replace('.', '/')
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    analyzer = ModuleAnalyzer.for_file(path, module)
    analyzer.find_tags()
    return analyzer.code, analyzer.tags


def setup(app):
    app.connect('autoapi-skip-member', skip_member)
    app.connect('missing-reference', resolve_name)
    app.connect('viewcode-find-source', find_source, priority=400)
    # Before the tables of contents are collected.
    app.connect('doctree-read', read_page, priority=400)
    app.connect('html-collect-pages', show_files)
