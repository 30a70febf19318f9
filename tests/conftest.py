# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How the tests are run; what they are given is in fixtures/."""
import os

import pytest


def pytest_configure(config):
    """Have the fixtures, but not where xdist only hands out the tests.

    There the import of PyTorch and OpenMMLab would be 8 seconds for nothing.
    """
    if hasattr(config,
               'workerinput') or not config.getoption('numprocesses', None):
        config.pluginmanager.import_plugin('chain_fixtures')
        config.pluginmanager.import_plugin('s3_fixtures')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """How many workers ``-n auto`` is: each needs 2 GB of memory.

    The slow tests often wait for processes of their own: with them, one more.
    """
    cores = len(os.sched_getaffinity(0))
    return min(4, cores + (config.option.markexpr != 'not slow'))


def pytest_collection_modifyitems(config, items):
    """Begin with the slow tests that start processes.

    They take longest, and one worker would be left with them at the end.
    """
    items.sort(key=lambda item: 'tools' not in item.path.parts)
