# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.tiny_imagenet import TinyImageNet

# Not in the order of the alphabet, as in the official file.
WNIDS = ['n02', 'n01', 'n03']
PACK = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def tiny_root(tmp_path):
    """Small files of the official form: three classes."""
    root = tmp_path / 'tiny-imagenet-200'
    draws = np.random.RandomState(0)

    def image(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draws.randint(0, 256, (64, 64, 3), np.uint8)
        assert cv2.imwrite(str(path), pixels)

    for wnid in WNIDS:
        for i in range(4):
            image(root / f'train/{wnid}/images/{wnid}_{i}.JPEG')
        # Beside the images of each class lies a table of boxes.
        (root / f'train/{wnid}/{wnid}_boxes.txt').write_text('0 0 9 9')
    lines = []
    for i, wnid in enumerate(WNIDS * 2):
        image(root / f'val/images/val_{i}.JPEG')
        lines.append(f'val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n')
    (root / 'val/val_annotations.txt').write_text(''.join(lines))
    (root / 'wnids.txt').write_text('\n'.join(WNIDS))
    return root


def _labels(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert all(Path(info['img_path']).exists() for info in infos)
    return {Path(info['img_path']).name: info['gt_label'] for info in infos}


def test_both_splits_number_the_classes_alike(tiny_root):
    train = TinyImageNet(str(tiny_root), pipeline=PACK)
    assert list(train.metainfo['classes']) == sorted(WNIDS)
    assert _labels(train) == {
        f'{wnid}_{i}.JPEG': sorted(WNIDS).index(wnid)
        for wnid in WNIDS
        for i in range(4)
    }
    val = TinyImageNet(str(tiny_root), 'val', pipeline=PACK)
    assert _labels(val) == {
        f'val_{i}.JPEG': label
        for i, label in enumerate([1, 0, 2] * 2)
    }
    sample = val[0]
    assert sample['inputs'].shape == (3, 64, 64)
    assert sample['data_samples'].gt_label.item() == 1


@pytest.mark.parametrize('where', ['val', 'val/images'])
def test_validation_images_that_were_sorted_into_folders(tiny_root, where):
    before = _labels(TinyImageNet(str(tiny_root), 'val'))
    for i, wnid in enumerate(WNIDS * 2):
        folder = tiny_root / where / wnid
        folder.mkdir(exist_ok=True)
        shutil.move(tiny_root / f'val/images/val_{i}.JPEG', folder)
    # The table stays, and so does the folder of all images.
    assert _labels(TinyImageNet(str(tiny_root), 'val')) == before


def test_what_is_wrong_is_named(tiny_root):
    with pytest.raises(ValueError, match="'test' is neither 'train' nor"):
        TinyImageNet(str(tiny_root), 'test')
    with open(tiny_root / 'val/val_annotations.txt', 'a') as file:
        file.write('val_6.JPEG\tn99\t0\t0\t1\t1\n')
    with pytest.raises(
            ValueError,
            match="val_annotations.txt: line 7: 'n99' is not in .*wnids.txt"):
        TinyImageNet(str(tiny_root), 'val')
    (tiny_root / 'val/val_annotations.txt').unlink()
    with pytest.raises(
            FileNotFoundError,
            match='val_annotations.txt: is absent, and so are folders'):
        TinyImageNet(str(tiny_root), 'val')
    (tiny_root / 'wnids.txt').unlink()
    with pytest.raises(
            FileNotFoundError,
            match='wnids.txt: is absent; unpack http.*tiny-imagenet-200.zip'):
        TinyImageNet(str(tiny_root))


@pytest.mark.slow
def test_a_chain_trains_on_it(tiny_root, root, tmp_path):
    cfg = Config.fromfile(
        str(root / 'configs/kd/wrn40_2_to_wrn16_2_tiny_imagenet.py'))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.data_root = str(tiny_root)
        cfg[key].update(batch_size=6, num_workers=0)
    cfg.train_cfg.max_epochs = 1
    cfg.chain.preflight = False
    cfg.work_dir = str(tmp_path / 'work')
    with pytest.raises(ConfigError, match='has 200 classes, the data has 3'):
        ChainRunner(cfg).train()
    for network in cfg.chain.networks.values():
        if network is not None:
            network.model.head.num_classes = 3
    cfg.data_preprocessor.num_classes = 3
    assert ChainRunner(cfg).train()['wrn16_2']['state'] == 'done'
