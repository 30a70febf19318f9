# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import glob
import os
import os.path as osp
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.digits import Digits
from mmdgkd.fileio.checkpoint import plain, read_checkpoint
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


@DATASETS.register_module(force=True)
class NamedByNumPy(Digits):
    """A user's data set whose metainfo is not made of plain types."""

    def __init__(self, **kwargs):
        super().__init__(
            metainfo=dict(
                classes=np.array([f'digit {i}' for i in range(10)]),
                palette=list(np.zeros((10, 3), 'uint8')),
                source=Path('digits')),
            **kwargs)


@pytest.mark.parametrize('save_as', ['pth', 'safetensors'])
@pytest.mark.parametrize('views', [{}, None])
def test_the_metainfo_is_written_in_plain_types(tiny_cfg, views, save_as):
    cfg = tiny_cfg(epochs=2)
    cfg.chain.update(views=views, logit_store=None, save_as=save_as)
    cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
    for key in ('train_dataloader', 'val_dataloader'):
        cfg[key].dataset.type = 'NamedByNumPy'
    once = osp.join(cfg.work_dir, 'once')
    cfg.custom_hooks.append(
        dict(type='KillOnce', network='resnet8', iteration=3, once=once))
    with pytest.raises(KeyboardInterrupt):
        ChainRunner(cfg).train()
    cfg.resume = True
    ChainRunner(cfg).train()
    folder = osp.join(cfg.work_dir, 'resnet8')
    classes = [f'digit {i}' for i in range(10)]
    found = read_checkpoint(osp.join(folder, 'epoch_2.pth'), 'x')
    expected = dict(classes=classes, palette=[[0, 0, 0]] * 10, source='digits')
    assert found['meta']['dataset_meta'] == expected
    assert found['message_hub']['runtime_info']['dataset_meta'] == expected
    network = read_checkpoint(osp.join(folder, f'resnet8.{save_as}'), 'x')
    assert network['meta']['dataset_meta']['classes'] == classes
    if views is not None:
        # MMEngine takes it for what it was.
        for log in glob.glob(osp.join(folder, '*', '*.log')):
            assert 'dataset metainfo' not in Path(log).read_text()


def test_plain_types():
    found = plain({
        np.str_('a'): (np.int64(1), np.float32(.5), np.bool_(True), None),
        'b': [np.array(['x']), Path('y'),
              np.bytes_(b'z')],
    })
    assert found == {'a': (1, .5, True, None), 'b': [['x'], 'y', "b'z'"]}
    assert [type(item)
            for item in found['a']] == [int, float, bool,
                                        type(None)]
    assert type(next(iter(found))) is type(found['b'][0][0]) is str
    # A class has the methods of its objects.
    assert plain([np.ndarray], lambda item: item) == [np.ndarray]
