# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Students that are killed over one store are those that are not."""
import json
import sys

import pytest

# With the kills of survive.py, which takes the cores, too.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('survive')]


def test_students_over_one_store(run_here, tmp_path):
    done = run_here('tools/dev/soak.py', '--students', '2', '--kills', '2',
                    '--seed', 3, '--json', tmp_path / 'outcome.json')
    result = json.loads((tmp_path / 'outcome.json').read_text())
    assert {each['student'] for each in result['runs']} == {0, 1}
    assert all(not each['differs'] for each in result['runs'])
    kinds = {kill['kind'] for each in result['runs'] for kill in each['kills']}
    assert 'logits' in kinds and result['parts'] > 200
    assert ' | 0 of ' in done.stdout


def test_on_a_server(run_tool, bucket, tmp_path):
    """In a process of its own, whose forks have the address of the server."""
    done = run_tool(sys.executable, 'tools/dev/soak.py', '--students', '2',
                    '--kills', '2', '--store-dir',
                    f's3://{bucket}/{tmp_path.name}')
    assert ' | 0 of ' in done.stdout


def test_it_finds_other_rows(run_here, root, tmp_path):
    """Another seed of the views for the shared store alone."""
    script = (tmp_path / 'other.py')
    script.write_text('import sys\n'
                      f'sys.path[:0] = [{str(root)!r} + "/tools/dev"]\n'
                      'import dataclasses\n'
                      'import soak\n'
                      'inner = soak.kill_and_resume\n'
                      'def changed(job, *args):\n'
                      '    options = {**job.options, "chain.views.seed": 1}\n'
                      '    other = dataclasses.replace(job, options=options)\n'
                      '    return inner(other, *args)\n'
                      'soak.kill_and_resume = changed\n'
                      'if __name__ == "__main__":\n'
                      '    soak.main()\n')
    done = run_here(
        script, '--students', '1', '--kills', '1', '--jobs', '1', check=False)
    assert done.returncode == 1 and 'parts differ' in done.stdout
