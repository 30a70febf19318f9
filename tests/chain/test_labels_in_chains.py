# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains whose labels do not exclude each other."""
import json

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS
from sklearn.datasets import load_digits

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.losses.dense_kd_loss import DenseKDLoss


@pytest.fixture
def make(tiny_cfg, tmp_path):
    """A function that gives a chain of two digits in each image."""

    def make(classes=10, images=16):
        digits, rng = load_digits(), np.random.default_rng(0)
        cfg = tiny_cfg()
        for key, split in (('train_dataloader', 'train'),
                           ('val_dataloader', 'val'), ('test_dataloader',
                                                       'val')):
            folder, items = tmp_path / split, []
            folder.mkdir(exist_ok=True)
            for i in range(images):
                pair = rng.integers(len(digits.target), size=2)
                image = np.hstack([digits.images[one] for one in pair])
                cv2.imwrite(
                    str(folder / f'{i}.png'),
                    cv2.resize((image * 15.9).astype('uint8'), (8, 8)))
                labels = {int(digits.target[one]) for one in pair}
                items.append(
                    dict(
                        img_path=f'{i}.png',
                        gt_label=sorted(one for one in labels
                                        if one < classes)))
            names = [str(i) for i in range(classes)]
            (tmp_path / f'{split}.json').write_text(
                json.dumps(
                    dict(metainfo=dict(classes=names), data_list=items)))
            cfg[key].batch_size = 8
            cfg[key].dataset = dict(
                type='MultiLabelDataset',
                data_root=str(tmp_path),
                ann_file=f'{split}.json',
                data_prefix=f'{split}/',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='PackInputs')
                ])
        cfg.val_evaluator = cfg.test_evaluator = dict(
            type='MultiLabelMetric', thr=.5)
        cfg.data_preprocessor = dict(
            num_classes=classes,
            mean=[77.8] * 3,
            std=[95.9] * 3,
            to_onehot=True)
        cfg.chain.networks.resnet20 = None
        for name in ('resnet14', 'resnet8'):
            cfg.chain.networks[name].model.head = dict(
                type='MultiLabelLinearClsHead',
                num_classes=classes,
                in_channels=64)
        return cfg

    return make


def loss_of(cfg):
    """That of the last stage, as its training builds it."""
    stage = ChainRunner(cfg).work.stage_config('resnet8')
    for teacher in stage.model.teachers.values():
        teacher.ckpt_path = None
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(stage.model)
    return next(module for module in model.modules()
                if isinstance(module, DenseKDLoss))


def test_the_head_of_the_student_chooses_the_sigmoid(make, tiny_cfg):
    cfg = make()
    assert loss_of(cfg).activation == 'sigmoid'
    ChainRunner(cfg).train()
    assert loss_of(tiny_cfg(work_dir='plain')).activation == 'softmax'
    cfg.model.distiller.distill_losses.loss_kd.activation = 'softmax'
    cfg.work_dir += '_other'
    assert loss_of(cfg).activation == 'softmax'


def test_networks_that_teach_each_other(make):
    networks = make().chain.networks
    model = dict(
        type='mmrazor.MutualNetworks',
        architecture=networks.resnet14.model,
        peers=dict(resnet8=networks.resnet8.model))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert MODELS.build(model)._mutual_loss.activation == 'sigmoid'
        model = dict(
            type='mmrazor.JointSlimmable',
            architecture=networks.resnet8.model,
            widths=[.5, 1.],
            in_place=dict(type='mmrazor.DenseKDLoss'))
        assert MODELS.build(model)._in_place.activation == 'sigmoid'


def test_one_logit_is_refused_before_training(make, refused):
    cfg = make(classes=1)
    refused(
        cfg, '^model.distiller.distill_losses.loss_kd.* a softmax over one '
        'logit is always 1')
    cfg.model.distiller.distill_losses.loss_kd.activation = 'sigmoid'
    ChainRunner(cfg).plan()
    # Two networks without a teacher, by a loss of their own.
    cfg.chain.networks = dict(
        pair=dict(
            model=dict(
                type='mmrazor.MutualNetworks',
                architecture=cfg.chain.networks.resnet14.model,
                peers=dict(resnet8=cfg.chain.networks.resnet8.model))),
        resnet8=dict(member_of='pair'))
    cfg.chain.order = ['pair', 'resnet8']
    refused(cfg, 'over one logit is always 1')


@pytest.mark.parametrize('change, message', [
    ({
        'chain.logit_store': dict(top_k=3)
    }, 'chain.logit_store.top_k: 3 keeps the softmax'),
    ({
        'model.distiller.ensembles':
        dict(both=dict(members=['resnet14'], mean='probs'))
    }, "model.distiller.ensembles.both.mean: .*'probs' is a mean of softmax"),
])
def test_what_is_made_of_a_softmax_is_refused(make, refused, change, message):
    cfg = make()
    cfg.merge_from_dict(change)
    refused(cfg, message)
