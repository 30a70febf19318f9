# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The headline chain on real CIFAR-100 images, a few iterations a stage."""
import json
import os.path as osp
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain import get_model
from mmpretrain.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('cifar100')]


def options(cifar100, images=128):
    return [
        '--cfg-options', 'train_cfg.max_epochs=1',
        f'train_dataloader.dataset.indices={images}',
        'val_dataloader.dataset.indices=200',
        'test_dataloader.dataset.indices=200', 'chain.preflight=False'
    ] + [
        f'{loader}_dataloader.dataset.data_root={cifar100}'
        for loader in ('train', 'val', 'test')
    ]


def test_whole_batches_are_the_views_of_the_pipeline(cifar100):
    """To the bit, in the recipe of the shipped config."""
    cfg = Config.fromfile(
        str(ROOT / 'configs/dgkd/resnet110_to_resnet8_cifar100_released.py'))
    inner = cfg.train_dataloader.dataset
    # The other split is five times as long to read.
    inner.update(data_root=str(cifar100), split='test')
    items = [(epoch, index * 37) for epoch in (0, 9) for index in range(256)]
    made = []
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = MODELS.build(cfg.data_preprocessor)
        for kind, collate in (('CIFAR100', default_collate),
                              ('BatchedCIFAR100', pseudo_collate)):
            dataset = DATASETS.build(
                dict(type='ViewDataset', dataset=dict(inner, type=kind)))
            data = preprocessor(collate(dataset.__getitems__(items)), True)
            made.append((dataset.source.key, data['inputs']))
    assert made[0][0] == made[1][0]
    assert torch.equal(made[0][1], made[1][1])
    assert made[0][1].shape == (512, 3, 32, 32)


def test_all_stages_train_and_load_and_give_their_accuracy(
        run_here, cifar100, tmp_path):
    """Of the teacher and the student: TAs are trained as it is."""
    config = 'configs/dgkd/resnet110_to_resnet8_cifar100_released.py'
    words = ['--work-dir', tmp_path, *options(cifar100)] + [
        f'chain.networks.resnet{depth}=None' for depth in (56, 32, 20, 14)
    ]
    run_here('tools/train.py', config, *words)
    with open(tmp_path / 'chain.json') as file:
        ledger = json.load(file)['stages']
    assert len(ledger) == 2
    for name, entry in ledger.items():
        assert entry['state'] == 'done'
        stem = osp.join(tmp_path, name, name)
        weights = torch.load(f'{stem}.pth', weights_only=True)['state_dict']
        get_model(f'{stem}.py').load_state_dict(weights, strict=True)
    done = run_here('tools/test.py', config, *words)
    rows = [
        line.split('|') for line in done.stdout.splitlines()
        if line.startswith('| ')
    ]
    tested = {row[1].strip(): row[2:4] for row in rows}
    for name in ledger:
        now, then = tested[name]
        assert now.strip() == then.strip()
