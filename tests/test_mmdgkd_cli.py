# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command ``mmdgkd``: the same tools, from anywhere."""
import importlib.util
import sys

import pytest

import mmdgkd_cli


@pytest.fixture
def mmdgkd(monkeypatch, capsys, tmp_path):
    """A function that types ``mmdgkd ...`` in an empty folder."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['mmdgkd', *map(str, words)])
        monkeypatch.setattr(sys, 'path', [*sys.path])
        monkeypatch.delitem(sys.modules, '_common', raising=False)
        code = 0
        try:
            mmdgkd_cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_without_a_command_it_lists_them(mmdgkd):
    for words in ((), ('--help', ), ('-h', )):
        code, output, _ = mmdgkd(*words)
        assert code == 0
        for command in ('new', 'train', 'test', 'export', 'report'):
            assert f'\n  {command} ' in output


def test_each_command_has_the_help_of_its_tool(mmdgkd):
    for command in mmdgkd_cli.COMMANDS:
        code, output, _ = mmdgkd(command, '--help')
        assert code == 0
        assert output.startswith(f'usage: mmdgkd {command} [-h]')


@pytest.mark.parametrize('words, message', [
    (('trian', ), "'trian' is none of .*; did you mean train?"),
    (('train', 'no.py'), "config: there is no file 'no.py'"),
    (('report', 'no'), "'no'"),
])
def test_a_mistake_is_one_line(mmdgkd, words, message):
    code, output, errors = mmdgkd(*words)
    assert code == 2 and not output and errors.count('\n') == 1
    assert errors.startswith('error: ') and message.split('.*')[0] in errors


def test_its_help_imports_no_package(run_tool, root):
    """Nor does that of a command, but what reads key=value."""
    script = ('import sys, mmdgkd_cli; sys.argv[1:] = ["train", "--help"]\n'
              'try: mmdgkd_cli.main()\n'
              'finally: print("torch" in sys.modules, '
              '"mmdgkd" in sys.modules)')
    done = run_tool(sys.executable, '-c', script, PYTHONPATH=str(root))
    assert done.stdout.endswith('False False\n')


def test_the_package_has_the_tools_and_the_configs(root):
    """As links in a checkout, and as files in a wheel (setup.cfg)."""
    package = importlib.util.find_spec('mmdgkd').origin
    inside = root / 'mmdgkd' / '.mim'
    assert package == str(root / 'mmdgkd' / '__init__.py')
    for folder in ('tools', 'configs'):
        assert (inside / folder).resolve() == root / folder
