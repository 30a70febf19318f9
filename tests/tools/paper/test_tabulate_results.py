# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from results.record import write_record

RECORDS = 'configs/dgkd/results/plain10_to_plain2_cifar100'
MARKS = '<!-- results: short begin -->\n<!-- results: short end -->\n'


@pytest.fixture
def tabulate(run_here):
    """A function that runs the tool: its exit code and its output."""

    def run(*words):
        done = run_here('tools/paper/tabulate_results.py', *words, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_page_is_filled_and_checked(tabulate, make_record, tmp_path):
    folder = tmp_path / RECORDS / 'released-none'
    write_record(str(folder), make_record('alone', 41.25))
    code, output = tabulate('--root', tmp_path)
    assert code == 2 and 'should be a checkout of mmdgkd' in output
    page = tmp_path / 'configs/dgkd/README.md'
    page.write_text(f'before → \n{MARKS}after')
    code, output = tabulate('--root', tmp_path, '--check')
    assert code == 1
    assert 'README.md: results: short: is not up to date' in output
    assert 'methods.png: is not up to date' in output
    assert page.read_text() == f'before → \n{MARKS}after'

    code, output = tabulate('--root', tmp_path)
    assert code == 0
    assert 'overlap.png: not drawn, its runs are missing' in output
    assert '| alone | 41.25 | 41.09 |' in page.read_text()
    assert page.read_text().startswith('before → \n<!-- results: short')
    assert (tmp_path / 'configs/dgkd/results/figures/methods.png').exists()
    assert tabulate('--root', tmp_path, '--check')[0] == 0

    write_record(str(folder), make_record('alone', 42.25))
    code, output = tabulate('--root', tmp_path, '--check')
    assert code == 1
    assert 'README.md: results: short: is not' in output
    assert 'methods.png: is not' in output and 'overlap.png' not in output


def test_bad_metrics_are_named_in_one_line(run_here, tmp_path):
    (tmp_path / 'bad.json').write_text('{}')
    done = run_here('tools/paper/tabulate_results.py', tmp_path, check=False)
    assert done.returncode == 2
    assert 'bad.json: augmentation: is missing' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_committed_page_is_of_the_committed_metrics(tabulate):
    code, output = tabulate('--check')
    assert code == 0, output
