# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are distilled without data, of the teacher's file alone."""
import glob
import os.path as osp

import cv2
import pytest
import torch
from mmengine.registry import DefaultScope

from mmdgkd import ConfigError, TrainingError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.finite_step.replay import replay

CONFIG = 'configs/dafl/resnet20_to_resnet8_digits.py'
NOWHERE = dict(type='CIFAR100', data_root='nowhere', split='train')


@pytest.fixture
def dafl_cfg(tiny_cfg, root, trained_resnet8):
    """A function that gives a small chain, of the file of ResNet-20."""

    def make(work_dir='work', epochs=1, images=32, **changes):
        cfg = tiny_cfg(epochs, root / CONFIG, work_dir, images=images)
        cfg.randomness = dict(seed=0)
        cfg.model.generator.hidden_channels = 8
        teacher = cfg.chain.networks.resnet20
        teacher.model.backbone.depth = 8
        teacher.ckpt_path = trained_resnet8
        for name in ('resnet14', 'resnet8'):
            stage = cfg.chain.networks[name].stage
            stage.train_dataloader.batch_size = 16
            stage.train_dataloader.dataset.length = images
        # There are no images to train with.
        cfg.train_dataloader.dataset = dict(NOWHERE, pipeline=[])
        cfg.merge_from_dict(changes)
        return cfg

    return make


def test_no_training_data_is_read(dafl_cfg, built_from_file):
    cfg = dafl_cfg()
    cfg.visualizer = dict(
        type='UniversalVisualizer',
        vis_backends=[dict(type='LocalVisBackend')])
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet20']['state'] == 'given'
    assert ledger['resnet8']['guides'] == ['resnet20', 'resnet14']
    assert 'best' in ledger['resnet8']['metric']
    # Like any other trained network, without teachers and generator.
    model = built_from_file(cfg, 'resnet8')
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
    # A grid for the one epoch of each stage: 16 images, 32 pixels high.
    for name in ('resnet14', 'resnet8'):
        pictures = glob.glob(
            osp.join(cfg.work_dir, name, '*/vis_data/vis_image/*.png'))
        assert [osp.basename(path) for path in pictures] == ['generated_2.png']
        assert cv2.imread(pictures[0]).shape == (2 * 33 - 1, 8 * 33 - 1, 3)
    assert not osp.exists(osp.join(cfg.work_dir, 'logits'))


def test_not_even_test_images_are_needed(dafl_cfg):
    cfg = dafl_cfg()
    cfg.chain.networks.pop('resnet14')
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg',
                'test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg[key] = None
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet8']['state'] == 'done'
    assert 'metric' not in ledger['resnet8']


def test_nothing_is_held_out_of_no_images(dafl_cfg):
    """The type of its data is found in the scope of the config."""
    cfg = dafl_cfg()
    cfg.train_dataloader.dataset = cfg.val_dataloader.dataset
    cfg.chain.networks.resnet20.pop('ckpt_path')
    cfg.chain.holdout = 8
    with DefaultScope.overwrite_default_scope('mmengine'):
        assert 'holdout: 8 training images' in ChainRunner(cfg).plan()


def test_a_bad_step_is_repeated_on_the_same_images(dafl_cfg):
    cfg = dafl_cfg(
        **{'model.distiller.distill_losses.loss_kd.loss_weight': 1e39})
    cfg.chain.networks.pop('resnet14')
    with pytest.raises(TrainingError, match='loss_kd'):
        ChainRunner(cfg).train()
    found = replay(osp.join(cfg.work_dir, 'resnet8/bad_step_1/rank_0.pth'))
    key = 'generator.loss_entropy_resnet20'
    assert found['terms'][key] == float(found['dumped'][key])


@pytest.mark.parametrize('changes,message', [
    ({
        'chain.logit_store': True
    }, 'chain.logit_store: must be None for mmrazor.DenseDAFL'),
    ({
        'chain.guidance': 'none'
    }, 'chain.networks.resnet14.stage.train_dataloader.dataset: NoImages '
     'has nothing'),
    ({
        'custom_hooks': [dict(type='mmrazor.GSLRHook')]
    }, 'custom_hooks: GSLRHook lets labels take the place'),
    ({
        'chain.networks.resnet8.stage.param_scheduler.generater': []
    }, 'param_scheduler: has student, generator, generater, but must have'),
    ({
        'model.generator.img_size': 16
    }, r'model.generator.img_size: its images are of shape \(3, 16, 16\)'),
    ({
        'model.generator_distiller.edges.resnet15': None
    }, 'model.generator_distiller.edges.resnet15: there is no such teacher'),
    ({
        'model.distiller.distill_losses.loss_kd.gate': dict(type='ca_mkd')
    }, 'model.distiller.distill_losses.loss_kd.gate: needs the '
     'class of each image'),
    ({
        'model.generator.latent_dim': 'many'
    }, 'model.generator: cannot be built'),
    ({
        'model.generator_distiller.edges.default.teacher_recorders.logits.'
        'source':
        'head.fd'
    }, 'model.generator_distiller.teacher_recorders.logits'),
    ({
        'model.distiller.distill_deliveries': dict(a=1)
    }, 'model.distiller.distill_deliveries: would '
     'give the student'),
    ({
        'chain.networks.resnet8.stage.optim_wrapper.generator': None
    }, 'optim_wrapper.generator: must be a dict'),
])
def test_mistakes_are_refused_before_any_training(dafl_cfg, refused, changes,
                                                  message):
    cfg = dafl_cfg(**changes)
    refused(cfg, f'^{message}')


def test_one_optimizer_for_both_is_refused(dafl_cfg):
    cfg = dafl_cfg()
    del cfg.chain.networks.resnet8.stage['optim_wrapper']
    with pytest.raises(
            ConfigError, match='^optim_wrapper.constructor: is missing'):
        ChainRunner(cfg).facts
