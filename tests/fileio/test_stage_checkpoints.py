# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
import os
import shutil

import pytest
import torch

from mmdgkd import ConfigError, TrainingError
from mmdgkd.fileio.stage_checkpoints import (latest_checkpoint,
                                             remove_old_checkpoints,
                                             sorted_checkpoints)


def save(folder, name, epoch, iteration, **more):
    torch.save(
        dict(meta=dict(epoch=epoch, iter=iteration), state_dict={}, **more),
        folder / name)
    return str(folder / name)


def names(paths):
    return [os.path.basename(path) for path in paths]


def test_the_most_advanced_one_whatever_its_name(tmp_path):
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / 'nowhere')) is None
    save(tmp_path, 'epoch_9.pth', 9, 90)
    save(tmp_path, 'iter_95.pth', 9, 95)
    save(tmp_path, 'epoch_10.pth', 10, 100)
    save(tmp_path, 'best_accuracy_top1_epoch_11.pth', 11, 110)
    (tmp_path / 'epoch_11.pth.77.part').write_bytes(b'half')
    assert names(sorted_checkpoints(
        str(tmp_path))) == ['epoch_10.pth', 'iter_95.pth', 'epoch_9.pth']
    moved = tmp_path / 'moved'
    shutil.copytree(tmp_path, moved)
    assert latest_checkpoint(str(moved)) == str(moved / 'epoch_10.pth')


def test_old_ones_are_removed(tmp_path):
    for epoch in (1, 2, 3):
        newest = save(tmp_path, f'epoch_{epoch}.pth', epoch, 10 * epoch)
    remove_old_checkpoints(newest, 2)
    assert names(sorted_checkpoints(
        str(tmp_path))) == ['epoch_3.pth', 'epoch_2.pth']


def test_damaged_ones_are_removed_others_stay(tmp_path):
    save(tmp_path, 'epoch_1.pth', 1, 10)
    save(tmp_path, 'epoch_3.pth', 3, 30)
    (tmp_path / 'epoch_4.pth').write_bytes(b'PK\x03\x04 half')
    # Of another program, for its owner to look at.
    torch.save(dict(state_dict={}), tmp_path / 'epoch_5.pth')
    newest = save(tmp_path, 'iter_15.pth', 1, 15)
    remove_old_checkpoints(newest, 2)
    assert sorted(os.listdir(tmp_path)) == [
        'epoch_1.pth', 'epoch_3.pth', 'epoch_5.pth', 'iter_15.pth'
    ]


def test_nothing_is_removed_for_one_that_cannot_be_read(tmp_path):
    for epoch in (1, 2):
        save(tmp_path, f'epoch_{epoch}.pth', epoch, 10 * epoch)
    newest = save(tmp_path, 'epoch_3.pth', 3, 30, more=Attack(tmp_path / 'x'))
    with pytest.raises(TrainingError, match='no run could resume from it'):
        remove_old_checkpoints(newest, 2)
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize('data', [b'', b'\0' * 5000, b'PK\x03\x04 half'])
def test_what_a_power_failure_leaves_is_skipped(tmp_path, data):
    good = save(tmp_path, 'epoch_1.pth', 1, 10)
    (tmp_path / 'epoch_2.pth').write_bytes(data)
    assert latest_checkpoint(str(tmp_path)) == good


@pytest.mark.parametrize('meta', [
    {},
    dict(epoch=1),
    dict(epoch=1, iter=math.inf),
    dict(epoch=math.nan, iter=10),
    dict(epoch=1, iter=10.5),
    dict(epoch=1, iter='10'),
    dict(epoch=True, iter=10),
    dict(epoch=1, iter=-1),
    dict(epoch=1, iter=10**40),
    dict(epoch=1, iter=[10]),
    dict(epoch=1, iter=10, batches=2.5),
    dict(epoch=1, iter=10, epoch_length='x'),
    dict(epoch=1, iter=10, processes=math.inf),
])
def test_what_is_no_checkpoint_of_a_training(tmp_path, meta):
    newest = save(tmp_path, 'epoch_3.pth', 3, 30)
    torch.save(dict(state_dict={}, meta=meta), tmp_path / 'epoch_1.pth')
    remove_old_checkpoints(newest, 1)
    assert len(os.listdir(tmp_path)) == 2
    with pytest.raises(
            ConfigError, match='its meta has no iter and epoch that are int'):
        latest_checkpoint(str(tmp_path))


def test_what_is_no_file(tmp_path):
    save(tmp_path, 'epoch_1.pth', 1, 10)
    (tmp_path / 'epoch_2.pth').mkdir()
    with pytest.raises(ConfigError, match='epoch_2.pth. has the name of a ch'):
        latest_checkpoint(str(tmp_path))
    (tmp_path / 'epoch_2.pth').rmdir()
    (tmp_path / 'epoch_3.pth').symlink_to(tmp_path / 'gone.pth')
    with pytest.raises(ConfigError, match='epoch_3.pth. has the name of a ch'):
        latest_checkpoint(str(tmp_path))
    with pytest.raises(ConfigError, match='epoch_1.pth. is no folder'):
        latest_checkpoint(str(tmp_path / 'epoch_1.pth'))


class Attack:

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


def test_an_attack_is_refused_not_skipped(tmp_path):
    save(tmp_path, 'epoch_1.pth', 1, 10)
    save(tmp_path, 'epoch_2.pth', 2, 20, more=Attack(tmp_path / 'pwned'))
    with pytest.raises(ConfigError, match='epoch_2.pth. is refused: .*mkdir'):
        latest_checkpoint(str(tmp_path))
    assert not (tmp_path / 'pwned').exists()
