# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of one model with seeds of their own, as one teacher."""
import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmdgkd.chain.runner import ChainRunner

CONFIG = (
    Path(__file__).resolve().parents[2] /
    'configs/dgkd/resnet20_to_resnet8_digits_ensemble.py')
NAMES = [f'resnet20_{seed}' for seed in range(3)]


@pytest.fixture
def ensemble_cfg(tiny_cfg):
    """The config, small; ResNet-8 in place of ResNet-20."""
    cfg = tiny_cfg(config=CONFIG)
    for name in NAMES:
        cfg.chain.networks[name].model.backbone.depth = 8
    cfg.randomness = dict(seed=5)
    cfg.default_hooks.logger.interval = 1
    return cfg


def test_they_differ_in_weights_and_order_and_share_their_views(ensemble_cfg):
    work = ChainRunner(ensemble_cfg).work
    weights, orders, seeds = [], [], []
    for name in NAMES:
        stage = work.stage_config(name)
        assert stage.randomness.seed == int(name[-1])
        seeds.append(stage.train_dataloader.dataset.seed)
        runner = Runner.from_cfg(stage)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            runner.model.init_weights()
            loader = runner.build_dataloader(
                stage.train_dataloader, seed=runner.seed)
        weights.append(runner.model.backbone.conv1.weight)
        orders.append([index for _, index in loader.sampler])
    # Those of the run: logits are stored by it.
    assert seeds == [5, 5, 5]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not torch.equal(weights[one], weights[other])
        assert orders[one] != orders[other]
        assert sorted(orders[one]) == sorted(orders[other])


def test_the_student_learns_from_them_as_one_teacher(ensemble_cfg):
    ledger = ChainRunner(ensemble_cfg).train()
    assert [ledger[name]['guides'] for name in NAMES] == [[]] * 3
    assert ledger['resnet8']['guides'] == NAMES
    (log, ) = Path(ensemble_cfg.work_dir, 'resnet8').glob('2*/*.log')
    assert set(re.findall(r'distill\.kd\.(\w+)',
                          log.read_text())) == {'independent'}
    stored = os.listdir(f'{ensemble_cfg.work_dir}/logits')
    for name in NAMES:
        assert any(file.startswith(f'{name}-') for file in stored)
    stage = Config.fromfile(f'{ensemble_cfg.work_dir}/resnet8/config.py')
    assert stage.model.distiller.ensembles.independent == dict(
        members=NAMES, mean='probs', tau=4.)
    assert stage.model.distiller.distill_losses.loss_kd.tau == 4.
