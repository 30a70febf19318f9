# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The real images, for tools that train on them."""
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
