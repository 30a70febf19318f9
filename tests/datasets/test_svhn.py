# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import hashlib

import numpy as np
import pytest
import torch
from mmengine.config import Config
from scipy.io import savemat
from torchvision import datasets

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.batched import BatchedSVHN
from mmdgkd.datasets.svhn import SVHN

PACK = [dict(type='PackInputs')]


@pytest.fixture
def svhn_files(tmp_path, monkeypatch):
    """Small files of the official form, and their sums as the official ones.

    There a 0 is labelled 10, and an image is the last of four dimensions.
    """
    images = {}
    for split, count in dict(train=40, test=20, extra=3).items():
        pixels = np.random.RandomState(count).randint(0, 256,
                                                      (32, 32, 3, count),
                                                      np.uint8)
        labels = np.arange(count, dtype=np.uint8)[:, None] % 10 + 1
        path = tmp_path / f'{split}_32x32.mat'
        savemat(path, dict(X=pixels, y=labels))
        url, name, _ = datasets.SVHN.split_list[split]
        monkeypatch.setitem(
            datasets.SVHN.split_list, split,
            [url, name, hashlib.md5(path.read_bytes()).hexdigest()])
        images[split] = pixels
    return images


def test_images_and_labels_of_each_split(svhn_files, tmp_path):
    for split, pixels in svhn_files.items():
        dataset = SVHN(str(tmp_path), split, download=False, pipeline=PACK)
        assert len(dataset) == pixels.shape[3]
        for i in (0, 2, len(dataset) - 1):
            sample = dataset[i]
            assert np.array_equal(sample['inputs'].permute(1, 2, 0).numpy(),
                                  pixels[..., i])
            assert sample['data_samples'].gt_label.item() == (i + 1) % 10
    assert len(dataset.metainfo['classes']) == 10


def test_whole_batches_are_the_samples(svhn_files, tmp_path):
    one = SVHN(str(tmp_path), 'train', pipeline=PACK)
    batch = BatchedSVHN(
        str(tmp_path), 'train', pipeline=PACK).__getitems__([3, 1])[0]
    assert torch.equal(batch['inputs'][0].permute(2, 0, 1), one[3]['inputs'])
    assert torch.equal(batch['inputs'][1].permute(2, 0, 1), one[1]['inputs'])


def test_what_is_not_there_is_named(svhn_files, tmp_path):
    with pytest.raises(ValueError, match="'val' is none of 'train', 'test'"):
        SVHN(str(tmp_path), 'val')
    # Another file of the same name is not read.
    path = tmp_path / 'test_32x32.mat'
    path.write_bytes(path.read_bytes() + b'0')
    with pytest.raises(
            FileNotFoundError,
            match=f'{path}: is absent, or not the official file; put that of '
            'http://ufldl.stanford.edu/housenumbers/test_32x32.mat there'):
        SVHN(str(tmp_path), 'test', download=False)


def test_a_chain_trains_on_it(svhn_files, root, tmp_path):
    cfg = Config.fromfile(str(root / 'configs/kd/resnet26_to_resnet8_svhn.py'))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.update(data_root=str(tmp_path), download=False)
        cfg[key].batch_size = 20
    cfg.train_cfg.max_epochs = 1
    cfg.chain.preflight = False
    cfg.work_dir = str(tmp_path / 'work')
    assert ChainRunner(cfg).train()['resnet8']['state'] == 'done'

    cfg.work_dir = str(tmp_path / 'other')
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(
            ConfigError,
            match='^train_dataloader.dataset: .*nowhere/train_32x32.mat: is '
            'absent'):
        ChainRunner(cfg).train()
