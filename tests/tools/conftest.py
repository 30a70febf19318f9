# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The real images, for tools that train on them."""
import runpy
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ARCHIVE = (
    Path(__file__).resolve().parents[3] / 'shared' / 'data' /
    'cifar-100-python.tar.xz')


@pytest.fixture(scope='session')
def cifar100(tmp_path_factory):
    """The folder of the official CIFAR-100 files."""
    if not ARCHIVE.exists():
        pytest.skip('the official CIFAR-100 files are not in '
                    f'{ARCHIVE.parent}')
    folder = tmp_path_factory.mktemp('cifar100')
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter='data')
    return folder


@pytest.fixture
def run_here(monkeypatch, capsys, root):
    """As ``run_tool``, in this process.

    For what trains nothing: a new process takes longer to start than that.
    """

    def run(tool, *words, check=True):
        code, line, limit = 0, '', sys.getrecursionlimit()
        with monkeypatch.context() as patch:
            patch.chdir(root)
            # As Python does; the tool itself finds what is beside it.
            patch.syspath_prepend(str((root / tool).parent))
            patch.setenv('LOCAL_RANK', '0')
            patch.setattr(sys, 'argv', [tool, *map(str, words)])
            capsys.readouterr()
            # As a process has it in which MMRazor has not raised it yet.
            sys.setrecursionlimit(1000)
            try:
                runpy.run_path(str(root / tool), run_name='__main__')
            except SystemExit as stop:
                # A text goes to stderr, and the code is 1.
                code = stop.code or 0
                if isinstance(code, str):
                    code, line = 1, f'{code}\n'
            finally:
                sys.setrecursionlimit(limit)
        output, errors = capsys.readouterr()
        done = SimpleNamespace(
            returncode=code, stdout=output, stderr=errors + line)
        if check and code:
            raise AssertionError(f'{tool} {words} exited with {code}:\n'
                                 f'{done.stdout}\n{done.stderr}')
        return done

    return run
