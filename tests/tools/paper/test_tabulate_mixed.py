# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json
import re
from functools import partial

import pytest

NAME = 'resnet20_to_resnet8_cifar100'
MARKS = f'<!-- results: {NAME} begin -->\n<!-- results: {NAME} end -->\n'


@pytest.fixture
def tabulate(run_here):
    """A function that runs the tool, whatever comes of it."""
    return partial(run_here, 'tools/paper/tabulate_mixed.py', check=False)


def test_a_work_dir_is_noted_and_the_page_filled(tabulate, trained, tmp_path):
    page = tmp_path / 'checkout/configs/mixed/README.md'
    page.parent.mkdir(parents=True)
    page.write_text(f'before\n{MARKS}after')
    where = ('--root', tmp_path / 'checkout')
    for folder, message in ((tmp_path, f'chain.json: .*mixed/{NAME}.py'),
                            (trained[0].work_dir, 'is of .*, not of ')):
        done = tabulate(folder, *where)
        assert done.returncode == 2 and re.search(message, done.stderr)
    assert page.read_text() == f'before\n{MARKS}after'

    work_dir = tmp_path / 'work'
    for name in trained[1].chain.names:
        (work_dir / name).mkdir(parents=True)
        (work_dir / name /
         'config.py').write_text('train_cfg = dict(max_epochs=2)')
    with open(f'{trained[0].work_dir}/chain.json') as file:
        ledger = dict(json.load(file), config=f'{NAME}.py')
    (work_dir / 'chain.json').write_text(json.dumps(ledger))
    assert tabulate(work_dir, '--check', *where).returncode
    assert tabulate(work_dir, *where).returncode == 0
    entry = ledger['stages']['resnet8']
    assert (
        f'| resnet8 | 78,042 | {entry["macs"]:,} | resnet20, resnet14 | '
        f'- | {entry["metric"]["last"]:.2f} | - | 0/1 |') in page.read_text()
    assert page.read_text().endswith('after')
    assert tabulate('--check', *where).returncode == 0
    assert tabulate(work_dir, '--check', *where).returncode == 0


def test_the_committed_table_is_of_the_committed_runs(tabulate):
    assert tabulate('--check').returncode == 0
