# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What two processes write, and when."""
import os
import re

import pytest

from mmdgkd.logit_store.piece import parse_name

LIST_HOOK = '''
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class ListStore(Hook):
    """What the store has before the third step of a stage."""

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if runner.iter == 2 and runner.rank == 0:
            folder, network = os.path.split(runner.work_dir)
            with open(os.path.join(folder, 'listed'), 'a') as file:
                for path, _, names in os.walk(os.path.join(folder, 'logits')):
                    for name in names:
                        print(network, os.path.basename(path), name,
                              file=file)
'''


@pytest.fixture
def train(tmp_path, root, fork_ranks):
    """A function that trains the digits by two processes."""
    (tmp_path / 'list_hook.py').write_text(LIST_HOOK)

    def run(text):
        config, work = tmp_path / 'config.py', tmp_path / 'work'
        parent = root / 'configs/dgkd/resnet20_to_resnet8_digits.py'
        config.write_text(
            f'_base_ = {str(parent)!r}\n'
            "custom_imports = dict(imports=['mmdgkd', 'list_hook'])\n"
            'val_dataloader = dict(dataset=dict(indices=32))\n'
            f'{text}')
        fork_ranks('tools/train.py', config, '--work-dir', work)
        return work

    return run


@pytest.mark.slow
def test_a_checkpoint_in_the_middle_has_the_rows_of_both(train):
    work = train('''
chain = dict(preflight=False, networks=dict(resnet14=None))
train_dataloader = dict(batch_size=8, dataset=dict(indices=80))
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=2))
custom_hooks = [dict(type='ListStore')]
''')
    lines = [
        line.split() for line in (work / 'listed').read_text().split('\n')
        if line.startswith('resnet8 ')
    ]
    found = [parse_name(name) for _, _, name in lines]
    # A file of each, of two batches of eight.
    assert [(each.view, each.rows) for each in found] == [(0, 16)] * 2
    # The rest of the epoch is 16 and 8 rows of each.
    rows = [
        parse_name(name).rows
        for name in os.listdir(work / 'logits' / lines[0][1])
    ]
    assert sum(rows) == 80


@pytest.mark.slow
def test_passes_over_one_view_by_iterations(train):
    """In the second pass a process needs rows that the other has computed."""
    work = train('''
chain = dict(preflight=False, networks=dict(resnet14=None),
             views=dict(num_views=1))
train_dataloader = dict(
    batch_size=8,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(indices=64))
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=12, val_interval=12)
param_scheduler = None
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100))
''')
    (log, ) = (work / 'resnet8').rglob('*.log')
    found = re.search(r'logit store: resnet20: (\d+) lookups, (\d+) hits',
                      log.read_text())
    # Four steps a pass, 32 rows of each process: the first pass computes.
    assert found.groups() == ('96', '64')
