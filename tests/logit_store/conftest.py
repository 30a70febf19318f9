# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import shutil

import pytest


@pytest.fixture
def copied(trained, tmp_path):
    """The work dir of a trained chain, moved."""
    path = tmp_path / 'moved'
    shutil.copytree(trained[0].work_dir, path)
    return path
