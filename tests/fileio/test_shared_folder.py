# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Two ranks that share no folder, as on two machines."""
import shutil

import pytest
import torch

from mmdgkd.fileio import shared_folder

STOP_ONCE = """
import signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class StopsOneRank(Hook):

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        in_second = runner.experiment_name.startswith('resnet14')
        if in_second and (runner.iter, runner.rank) == (4, 1):
            signal.raise_signal(signal.SIGTERM)
"""
CONFIG = """
_base_ = '{}/tests/configs/survivor.py'
custom_imports = dict(imports=['mmdgkd', 'stop_one_rank'])
_base_.custom_hooks.append(dict(type='StopsOneRank'))
custom_hooks = _base_.custom_hooks
chain = dict(preflight=True)
train_cfg = dict(max_epochs=2)
"""


def weights_in(folder):
    return {
        path.stem: torch.load(path)['state_dict']
        for path in sorted(folder.glob('*/resnet*.pth'))
    }


@pytest.mark.slow
def test_a_chain_without_a_shared_work_dir(tmp_path, root, fork_ranks):
    """A stop, a new second machine, and in the end the same weights."""
    (tmp_path / 'stop_one_rank.py').write_text(STOP_ONCE)
    config = tmp_path / 'chain.py'
    config.write_text(CONFIG.format(root))
    for name in '01':
        (tmp_path / name).mkdir()

    def train(config, *words, work=tmp_path / 'RANK/w', codes=(0, 0)):
        return fork_ranks(
            'tools/train.py',
            config,
            '--work-dir',
            work,
            *words,
            codes=codes,
            LOCAL_RANK='0')

    output = train(config, codes=(75, 75))
    assert 'in resnet14; a checkpoint of iteration ' in output
    assert 'work dir: not shared by all machines' in output
    shutil.rmtree(tmp_path / '1/w')
    train(config, '--resume')
    whole = tmp_path / 'whole'
    output = train(
        root / 'tests/configs/survivor.py',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        work=whole)
    assert 'not shared' not in output
    expected = weights_in(whole)
    for found in (weights_in(tmp_path / each / 'w') for each in '01'):
        assert found.keys() == expected.keys()
        for name, state in expected.items():
            for key, value in state.items():
                assert torch.equal(found[name][key], value), (name, key)

    for old, new in ('0x', '10', 'x1'):
        (tmp_path / old).rename(tmp_path / new)
    assert ' is a copy of that of another machine: begin there (NODE_RANK' in (
        train(config, '--resume', codes=(2, 2)))
    (tmp_path / '0' / 'w' / shared_folder._MARK).unlink()
    assert ' is not that of the first process, and has files of a ' in (train(
        config, '--resume', codes=(2, 2)))
    assert weights_in(tmp_path / '1/w').keys() == expected.keys()


def test_what_is_copied(two, tmp_path):
    """Of the checkpoints the newest intact one; what is not ours stays."""
    for each in two(f"""
import pathlib, torch
from mmengine.dist import broadcast_object_list
from mmdgkd.fileio import shared_folder
from mmdgkd.fileio.checkpoint import write_weights

shared_folder._BLOCK = 1000
folder = pathlib.Path({str(tmp_path)!r}, str(rank), 'a', 'work')
(folder.parents[1]).mkdir()
barrier()
shared = shared_folder.SharedFolder(str(folder), ['net'])
assert not shared.is_shared and shared.writes

def write(iteration):
    if rank == 0:
        write_weights(str(folder / f'net/iter_{{iteration}}.pth'),
                      dict(w=torch.arange(1000.)),
                      dict(iter=iteration, epoch=0))

def files(which):
    found = [sorted(p.name for p in (folder / 'net').glob('*'))]
    broadcast_object_list(found, which)
    return found[0]

for iteration in (1, 2, 10):
    write(iteration)
if rank == 0:
    data = bytearray((folder / 'net/iter_10.pth').read_bytes())
    data[len(data) // 2] ^= 1
    (folder / 'net/iter_10.pth').write_bytes(data)
    (folder / 'net/empty.txt').touch()
    (folder / 'net/some.log').touch()
    (folder / 'other.bin').touch()
shared.update()
assert files(1) == ['empty.txt', 'iter_2.pth'], files(1)
if rank == 1:
    assert torch.load(folder / 'net/iter_2.pth')['state_dict']['w'][-1] == 999
    (folder / 'net/mine.txt').touch()
    assert not (folder / 'other.bin').exists()
write(3)
if rank == 0:
    (folder / 'net/empty.txt').write_text('no more')
shared.update()
if rank == 1:
    assert (folder / 'net/empty.txt').read_text() == 'no more'
assert files(1) == ['empty.txt', 'iter_3.pth', 'mine.txt'], files(1)
assert len(files(0)) == 6
"""):
        assert each.wait(60) == 0, each.output()
