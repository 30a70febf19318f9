# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import glob
import os
import os.path as osp

import pytest

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.checksum import checksum_matches
from mmdgkd.fileio.files import AtomicBackend, atomic_write


def names(cfg, stage='resnet20'):
    return sorted(
        osp.basename(path)
        for path in glob.glob(osp.join(cfg.work_dir, stage, '*.pth')))


@pytest.mark.parametrize('save_best', ['auto', ['accuracy/top1']])
def test_the_best_one_is_kept_beside_the_last(tiny_cfg, save_best):
    cfg = tiny_cfg(epochs=3)
    cfg.chain.networks = dict(resnet20=cfg.chain.networks.resnet20)
    cfg.default_hooks.checkpoint.update(save_best=save_best)
    ledger = ChainRunner(cfg).train()
    best = ledger['resnet20']['metric']['best_at']
    assert names(cfg) == [
        f'best_accuracy_top1_epoch_{best}.pth', 'epoch_2.pth', 'epoch_3.pth',
        'resnet20.pth'
    ]
    for path in glob.glob(osp.join(cfg.work_dir, 'resnet20', '*.pth')):
        assert checksum_matches(path) is True, path


def test_the_old_one_is_deleted_when_the_new_one_is_written(
        tiny_cfg, monkeypatch):
    """Even where only one is kept."""
    cfg = tiny_cfg(epochs=3)
    cfg.chain.networks = dict(resnet20=cfg.chain.networks.resnet20)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    seen, put = [], AtomicBackend.put

    def look(self, data, path):
        seen.append(names(cfg))
        put(self, data, path)
        seen.append(names(cfg))

    monkeypatch.setattr(AtomicBackend, 'put', look)
    ChainRunner(cfg).train()
    assert seen == [[], ['epoch_1.pth'], ['epoch_1.pth'],
                    ['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth'],
                    ['epoch_2.pth', 'epoch_3.pth']]
    assert names(cfg) == ['epoch_3.pth', 'resnet20.pth']


def test_a_failed_write_leaves_the_old_one(tmp_path):
    path = str(tmp_path / 'a.pth')
    AtomicBackend().put(b'old', path)
    with pytest.raises(OSError), atomic_write(path, 'wb') as file:
        file.write(b'new')
        raise OSError
    assert os.listdir(tmp_path) == ['a.pth']
