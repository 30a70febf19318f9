# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json

import pytest

OUTCOMES = '''
from unittest import TestCase
import pytest
from mmcls.structures import DataSample


class TestSome(TestCase):

    def test_good(self):
        assert DataSample().set_gt_label(1).gt_label == 1

    def test_bad(self):
        assert False, 'it is bad'


@pytest.mark.skip(reason='no GPU')
def test_left_out():
    pass


def test_repairs():
    import sys
    assert 'mmdgkd' in sys.modules
'''


@pytest.mark.slow
def test_outcomes_are_counted_and_compared(run_here, tmp_path):
    """A file each, since each is a process that imports all."""
    folder = tmp_path / 'source/tests/some'
    folder.mkdir(parents=True)
    (folder / 'helpers.py').write_text('raise ValueError\n')
    tool = 'tools/dev/mmrazor_tests.py'
    found, printed = {}, {}
    for name, code, *words in (('bare', 'import not_there\n', '--bare'),
                               ('repaired', OUTCOMES)):
        (folder / 'test_a.py').write_text(code)
        out = tmp_path / f'{name}.json'
        printed[name] = run_here(tool, 'run', tmp_path / 'source', out,
                                 '--jobs', '2', *words).stdout
        found[name] = json.loads(out.read_text())
    assert "tests/some/test_a.py {'error': 1}" in printed['bare']
    assert found['bare']['counts'] == dict(error=1)
    assert found['repaired']['counts'] == dict(failed=1, passed=2, skipped=1)
    tests = found['repaired']['tests']
    file = 'tests/some/test_a.py'
    assert tests[f'{file}::TestSome::test_good'] == dict(
        outcome='passed', said='')
    assert tests[f'{file}::TestSome::test_bad']['said'].startswith(
        'AssertionError: it is bad')
    assert found['bare']['tests'][file]['said'] == \
        "ModuleNotFoundError: No module named 'not_there'"
    assert 'mmdgkd' in found['repaired']['versions']
    assert 'mmdgkd' not in found['bare']['versions']

    output = run_here(tool, 'compare', tmp_path / 'repaired.json',
                      tmp_path / 'bare.json').stdout.splitlines()
    # A file that could not be imported stands for its tests.
    assert output == [
        'passed before: 2, of these after: 0',
        *(f'{file}::{test}: error: ModuleNotFoundError: No module named '
          "'not_there'" for test in ('TestSome::test_good', 'test_repairs'))
    ]


def test_a_folder_without_tests_is_an_error(run_here, tmp_path):
    done = run_here(
        'tools/dev/mmrazor_tests.py', 'run', tmp_path, 'out.json', check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('source: ')
    assert 'has no folder tests' in done.stderr
