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
    folder = tmp_path / 'source/tests/some'
    folder.mkdir(parents=True)
    (folder / 'test_a.py').write_text(OUTCOMES)
    (folder / 'test_b.py').write_text('import not_there\n')
    (folder / 'helpers.py').write_text('raise ValueError\n')
    tool = 'tools/dev/mmrazor_tests.py'
    found = {}
    for name, words in (('bare', ['--bare']), ('repaired', [])):
        if name == 'repaired':
            # Each file is a process that imports all.
            (folder / 'test_b.py').unlink()
        out = tmp_path / f'{name}.json'
        output = run_here(tool, 'run', tmp_path / 'source', out, '--jobs', '2',
                          *words).stdout
        assert ("tests/some/test_b.py {'error': 1}" in output) == (
            name == 'bare')
        found[name] = json.loads(out.read_text())
    good = 'tests/some/test_a.py::TestSome::test_good'
    assert found['bare']['counts'] == dict(
        error=1, failed=2, passed=1, skipped=1)
    assert found['repaired']['counts'] == dict(failed=1, passed=2, skipped=1)
    tests = found['bare']['tests']
    assert tests[good] == dict(outcome='passed', said='')
    assert tests['tests/some/test_a.py::TestSome::test_bad'][
        'said'].startswith('AssertionError: it is bad')
    assert tests['tests/some/test_b.py']['said'] == \
        "ModuleNotFoundError: No module named 'not_there'"
    assert 'mmdgkd' in found['repaired']['versions']
    assert 'mmdgkd' not in found['bare']['versions']

    output = run_here(tool, 'compare', tmp_path / 'repaired.json',
                      tmp_path / 'bare.json').stdout.splitlines()
    assert output[0] == 'passed before: 2, of these after: 1'
    assert output[1].startswith('tests/some/test_a.py::test_repairs: failed: ')
    assert len(output) == 2


def test_a_folder_without_tests_is_an_error(run_here, tmp_path):
    done = run_here(
        'tools/dev/mmrazor_tests.py', 'run', tmp_path, 'out.json', check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('source: ')
    assert 'has no folder tests' in done.stderr
