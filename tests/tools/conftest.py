# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The real images, for tools that train on them."""
import importlib
import sys
import tarfile
from pathlib import Path

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
def run_in_process(monkeypatch, capsys, root):
    """A function that runs a tool: its exit code, and what it has said.

    In this process, since a new one would take longer to start than to work.
    """

    def run(tool, *words):
        monkeypatch.syspath_prepend(str(root / 'tools'))
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
        code = 0
        try:
            importlib.import_module(tool).main()
        except SystemExit as stop:
            code = stop.code
        return code, ''.join(capsys.readouterr())

    return run
