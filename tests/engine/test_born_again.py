# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Generations of one network, each taught by the one before."""
import json
from pathlib import Path

import torch
from mmengine.config import Config

from mmdgkd.engine import ChainRunner


def test_each_generation_begins_with_other_weights(tiny_cfg, root):
    cfg = tiny_cfg(config=root / 'configs/born_again/resnet20_digits.py')
    work = ChainRunner(cfg).work
    seeds = [
        work.stage_config(f'resnet20_{i}').randomness.seed for i in range(4)
    ]
    assert seeds == [0, 1, 2, 3]
    # What they look at is the chain's.
    views = [
        work.stage_config(f'resnet20_{i}').train_dataloader.dataset.seed
        for i in range(4)
    ]
    assert views == [0] * 4


def test_a_generation_hears_its_parent_and_the_labels(tiny_cfg, root,
                                                      weights_of):
    cfg = tiny_cfg(config=root / 'configs/born_again/resnet20_digits.py')
    cfg.chain.networks = {
        f'resnet8_{i}': cfg.chain.networks[f'resnet20_{i}']
        for i in range(2)
    }
    for network in cfg.chain.networks.values():
        network.model.backbone.depth = 8
    ChainRunner(cfg).train()
    one, other = (weights_of(cfg, f'resnet8_{i}') for i in range(2))
    assert not torch.equal(one['head.fc.weight'], other['head.fc.weight'])
    (path, ) = Path(cfg.work_dir, 'resnet8_1').glob('*/vis_data/scalars.json')
    logged = json.loads(path.read_text().splitlines()[0])
    stage = Config.fromfile(f'{cfg.work_dir}/resnet8_1/config.py')
    assert stage.model.task_loss_weight == 1
    assert logged['loss'] > max(logged['student.loss'], 0) > 1
    assert {'student.loss', 'distill.kd.resnet8_0'} < logged.keys()
