# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Generations of one network, each distilled from the one before."""
import copy

import pytest
import torch
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.algorithms.mean_of_networks import mean_prediction


def test_each_generation_begins_with_other_weights(tiny_cfg, root):
    cfg = tiny_cfg(config=root / 'configs/born_again/resnet20_digits.py')
    work = ChainRunner(cfg).work
    seeds = [
        work.stage_config(f'resnet20_{i}').randomness.seed for i in range(4)
    ]
    assert seeds == [0, 1, 2, 3]
    # What they read is the chain's.
    views = [
        work.stage_config(f'resnet20_{i}').train_dataloader.dataset.seed
        for i in range(4)
    ]
    assert views == [0] * 4


def test_generations_predict_together(trained, built_from_file):
    cfg, runner = trained
    found = runner.test(mean=True)
    names = runner.chain.names
    assert list(found) == [*names, 'mean of 3']
    images, labels = [], []
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for sample in DATASETS.build(cfg.test_dataloader.dataset):
            images.append(sample['inputs'])
            labels.append(int(sample['data_samples'].gt_label))
    probs = 0
    for name in names:
        model = built_from_file(cfg, name)
        data = model.data_preprocessor(dict(inputs=images))
        with torch.no_grad():
            probs += model(data['inputs'], mode='tensor').softmax(1) / 3
    right = (probs.argmax(1) == torch.tensor(labels)).float().mean()
    assert found['mean of 3']['accuracy/top1'] == pytest.approx(100 *
                                                                float(right))


def test_each_network_has_its_own_inputs(trained):
    """Normalized as it was trained, whatever the first one has."""
    model = copy.deepcopy(trained[0].chain.networks.resnet8.model)
    other = copy.deepcopy(model)
    for each, mean in ((model, 0.), (other, 100.)):
        each.data_preprocessor = dict(
            num_classes=10, mean=[mean] * 3, std=[1.] * 3)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        both = MODELS.build(
            dict(type='mmrazor.MeanOfNetworks', networks=[model, other]))
    images = [torch.full((3, 8, 8), 150, dtype=torch.uint8)]
    inputs = both.data_preprocessor(dict(inputs=images))['inputs']
    assert [float(batch.mean()) for batch in inputs] == [150, 50]


def test_the_mean_by_hand():
    logits = [
        torch.tensor([row]).log() + shift
        for row, shift in (([.5, .5], 0), ([.9, .1], 3))
    ]
    found = mean_prediction(logits)
    torch.testing.assert_close(found.exp(), torch.tensor([[.7, .3]]))


def test_the_mean_of_labels_that_do_not_exclude_each_other():
    logits = [torch.randn(4, 3) for _ in range(2)]
    found = mean_prediction(logits, 'sigmoid').sigmoid()
    torch.testing.assert_close(found,
                               (logits[0].sigmoid() + logits[1].sigmoid()) / 2)
