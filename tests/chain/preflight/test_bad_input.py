# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Each mistake gets one line, before anything is written or trained."""
import os

import numpy as np
import pytest
import torch
from chain_fixtures import ONE_BY_ONE
from mmcv.transforms import BaseTransform
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.registry import TRANSFORMS

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.backbones.plain_cnn import PlainCNN


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class TwoOptimizers:

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass

    def __call__(self, model):
        return OptimWrapperDict(
            **{
                name: OptimWrapper(torch.optim.SGD(model.parameters(), lr=.1))
                for name in 'ab'
            })


@TRANSFORMS.register_module(force=True)
class GrowingImages(BaseTransform):
    """Each image but the first is wider."""

    def transform(self, results):
        if results['sample_idx']:
            results['img'] = np.pad(results['img'], ((0, 0), (0, 1), (0, 0)))
        return results


@pytest.mark.parametrize('guidance, message', [
    (dict(resnet8=['resnet99']),
     'chain.guidance.resnet8: the teacher "resnet99" is no network'),
    (dict(resnet20=['resnet8']), '"resnet8" does not come before "resnet20"'),
    ('densely', "chain.guidance: 'densely' is none of"),
])
def test_guidance(refused, tiny_cfg, guidance, message):
    cfg = tiny_cfg()
    cfg.chain.guidance = guidance
    refused(cfg, message)


def test_an_empty_chain(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks = {}
    refused(cfg, 'chain.networks: is empty')


def test_two_networks_of_one_name(refused, tiny_cfg):
    cfg = tiny_cfg()
    networks = [
        dict(entry, name=name) for name, entry in cfg.chain.networks.items()
    ]
    cfg.chain = dict(networks=networks + networks[:1])
    refused(cfg, 'there are 2 networks named "resnet20"')


def test_an_unknown_stage(refused, tiny_cfg):
    refused(tiny_cfg(), '--stage: "resnet9" is no network', only='resnet9')


def test_a_missing_checkpoint(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.ckpt_path = 'nowhere.pth'
    refused(
        cfg, "chain.networks.resnet20.ckpt_path: there is no file 'nowhere"
        ".pth'")


def test_a_checkpoint_of_another_architecture(refused, tiny_cfg, trained):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.ckpt_path = os.path.join(
        trained[0].work_dir, 'resnet14', 'resnet14.pth')
    refused(
        cfg, 'resnet20.ckpt_path: .* is of another architecture: '
        'backbone.layer1.2.conv1.weight is missing')


def test_a_checkpoint_with_other_classes(refused, tiny_cfg, trained, tmp_path):
    path = os.path.join(trained[0].work_dir, 'resnet20', 'resnet20.pth')
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint['state_dict']
    state['head.fc.weight'] = torch.zeros(100, 64)
    state['head.fc.bias'] = torch.zeros(100)
    torch.save(checkpoint, tmp_path / 'other.pth')
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.ckpt_path = str(tmp_path / 'other.pth')
    refused(cfg, 'has 100 classes, the network has 10')


def no_classes(cfg):
    """Leave out of the data which classes there are."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.metainfo = dict(classes=[])


@pytest.mark.parametrize('change, message', [
    ({
        'train_dataloader.dataset.data_root': 1
    }, 'train_dataloader.dataset: '),
    ({
        'train_dataloader.dataset.type': 'Digts',
        'train_dataloader.dataset.data_root': 'd'
    }, 'train_dataloader.dataset: .*Digts'),
    ({
        'val_dataloader.dataset.type': 1
    }, 'val_dataloader.dataset: '),
    ({
        'chain.networks.resnet14.model.type': 1
    }, r'chain.networks.resnet14.model: cannot be built \(type must be a str'),
    ({
        'chain.networks.resnet14.model.type': ''
    }, 'chain.networks.resnet14.model: cannot be built'),
])
def test_what_is_no_type_or_no_folder(refused, tiny_cfg, change, message):
    cfg = tiny_cfg()
    cfg.merge_from_dict(change)
    refused(cfg, message)


@pytest.mark.parametrize('key', [
    'guidance', 'guidance.resnet8', 'logit_store', 'logit_store.dtype',
    'logit_store.store_dir', 'logit_store.top_k', 'metric', 'metric.name',
    'metric.rule', 'networks', 'networks.resnet8',
    'networks.resnet8.ckpt_path', 'networks.resnet8.ensemble',
    'networks.resnet8.init_from', 'networks.resnet8.input',
    'networks.resnet8.member_of', 'networks.resnet8.model',
    'networks.resnet8.model.cfg_path', 'networks.resnet8.model.name',
    'networks.resnet8.model.pretrained', 'networks.resnet8.teacher_classes',
    'networks.resnet8.width', 'networks.resnet8.width_of', 'order',
    'preflight', 'preflight.steps', 'save_as', 'views', 'views.file_key',
    'views.num_views', 'views.seed', 'views.skip_unreadable'
])
def test_an_option_of_any_form_is_taken_or_one_line(tiny_cfg, key):
    *parents, last = f'chain.{key}'.split('.')
    for value in (dict(x=1), [dict(x=1)], [['a']], dict(resnet8=[[1]])):
        cfg = tiny_cfg()
        part = cfg
        for parent in parents:
            if not isinstance(part.get(parent), dict):
                part[parent] = {}
            part = part[parent]
        part[last] = value
        try:
            ChainRunner(cfg)
        except ConfigError as error:
            assert '\n' not in str(error)


def test_networks_with_different_classes(refused, tiny_cfg):
    cfg = tiny_cfg()
    no_classes(cfg)
    cfg.chain.networks.resnet20.model.head.num_classes = 100
    refused(
        cfg, 'chain.networks.resnet20.model: has 100 classes, "resnet14", '
        'which it teaches, has 10')


def stochastic(tiny_cfg, **policy):
    cfg = tiny_cfg(
        config='configs/dgkd/resnet20_to_resnet8_digits_stochastic.py')
    drop = cfg.chain.networks.resnet8.stage.model.distiller.connectors.drop
    drop.update(policy)
    return cfg


def test_as_many_dropped_as_there_are_teachers(refused, tiny_cfg):
    refused(
        stochastic(tiny_cfg, num_drop=2),
        'for the stage "resnet8": StochasticDropConnector.num_drop: 2 must '
        'be at most 1: the stage has 2 teachers')


def test_an_unknown_protected_teacher(refused, tiny_cfg):
    refused(
        stochastic(tiny_cfg, protect=['resnet32']),
        'protect: "resnet32" is no teacher here; there are: ')


def test_an_unknown_weighted_teacher(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.model.distiller.distill_losses.loss_kd.teacher_weights = dict(x=2.0)
    refused(cfg, 'teacher_weights: "x" is no teacher here')


def test_a_recorder_source_that_is_no_module(refused, tiny_cfg):
    here = 'model.distiller.{}_recorders.logits.source: '
    cfg = tiny_cfg()
    cfg.model.distiller.teacher_recorders.logits.source = 'head.gc'
    refused(
        cfg,
        here.format('teacher') + '"head.gc" is no module of '
        'teacher "resnet20"; similar: head.fc')
    cfg = tiny_cfg()
    cfg.model.distiller.student_recorders.logits.source = 'head.gc'
    refused(
        cfg,
        here.format('student') + '"head.gc" is no module of the student; '
        r'similar: head.fc.* \(stage "resnet14"\)')


def test_a_recorder_source_that_the_student_has_and_a_teacher_has_not(
        refused, tiny_cfg):
    cfg = tiny_cfg()
    plain = dict(type='PlainCNN', depth=2, variant='cifar100', input_size=8)
    cfg.chain.networks.resnet20.model = dict(
        type='ImageClassifier',
        backbone=plain,
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=PlainCNN(2, input_size=8).feat_dim))
    cfg.chain.guidance = dict(resnet8=['resnet20', 'resnet14'])
    distiller = cfg.model.distiller
    for key in ('student_recorders', 'teacher_recorders'):
        distiller[key].logits.source = 'backbone.layer1'
    here = 'model.distiller.teacher_recorders.{}.source: '
    refused(
        cfg,
        here.format('logits') + '"backbone.layer1" is no module of teacher '
        '"resnet20"; similar: backbone.*"resnet8"')
    distiller.teacher_recorders.logits.source = 'backbone'
    distiller.teacher_recorders.one = dict(
        type='mmrazor.ModuleOutputs', source='resnet14.backbone.layer1')
    distiller.teacher_recorders.other = dict(
        type='mmrazor.ModuleOutputs', source='resnet20.backbone.layer1')
    refused(
        cfg,
        here.format('other') + '"resnet20.backbone.layer1" is no module of '
        'teacher "resnet20"; similar: resnet20.backbone')


def test_a_model_that_cannot_be_built(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14.model.backbone.type = 'ResNet6n3'
    refused(cfg, 'chain.networks.resnet14.model: cannot be built .*ResNet6n3')
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14.model.head.in_channels = 65
    refused(cfg, 'resnet14.model: does not run on an image of shape')


def test_an_unknown_distiller(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.model.distiller.type = 'mmrazor.ConfigurableDistiller'
    refused(cfg, 'model.distiller')


def test_missing_data(refused, tiny_cfg, tmp_path):
    cfg = tiny_cfg()
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset = dict(
            type='CIFAR100',
            data_root=str(tmp_path / 'cifar'),
            download=False,
            pipeline=[dict(type='PackInputs')])
    refused(
        cfg, r'train_dataloader.dataset: .*; put the official files \(train, '
        r'test, meta\) into .*cifar/cifar-100-python/')


def test_a_work_dir_that_cannot_be_made(refused, tiny_cfg, tmp_path):
    (tmp_path / 'file').write_text('')
    cfg = tiny_cfg(work_dir='file/work')
    refused(cfg, 'work_dir: .* cannot be made')


def test_a_given_network_cannot_be_trained(refused, tiny_cfg, trained):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.ckpt_path = os.path.join(
        trained[0].work_dir, 'resnet20', 'resnet20.pth')
    refused(cfg, 'has a ckpt_path, so that there is nothing', only='resnet20')


@pytest.mark.parametrize('options, message', [
    ({
        'model.type': 'mmrazor.DGKDD'
    }, 'model.type: for the stage "resnet14": there is no mmrazor.DGKDD'),
    ({
        'model.task_loss_wieght': 0.3
    }, 'model.task_loss_wieght: .*; "task_loss_weight" is meant'),
    ({
        'chain.networks.resnet8.stage':
        dict(optim_wrapper=dict(optimizer=dict(type='SGDD')))
    }, 'optim_wrapper.optimizer.type: for the stage "resnet8": .*SGDD; "SGD"'),
    ({
        'chain.networks.resnet8.stage': dict(train_cg=dict(max_epochs=7))
    }, 'chain.networks.resnet8.stage.train_cg: is neither in the config nor'),
    ({
        'chain.networks.resnet20.stage': dict(model=dict(task_loss_weight=1))
    }, 'resnet20.stage.model: changes the template .* has no teachers'),
    ({
        'train_cfg.max_epoch': 7
    }, 'train_cfg.max_epoch: .*"resnet20": is unknown to .*"max_epochs"'),
    ({
        'train_cfg.max_epochs': 0
    },
     'train_cfg: trains in no iteration; max_epochs, or max_iters, must be 1'),
    ({
        'train_dataloader.dataset.split': 'trian'
    }, "train_dataloader.dataset: .*'trian' is neither"),
    ({
        **ONE_BY_ONE, 'train_dataloader.dataset.pipeline': []
    }, 'train_dataloader.dataset.pipeline: returns no data sample'),
    ({
        'val_evaluator.type': 'Acuracy'
    }, 'val_evaluator.type: .* no Acuracy; "Accuracy" is meant'),
    ({
        'param_scheduler.0.type': 'StepLr'
    }, 'param_scheduler: .*StepLr'),
    ({
        'chain.networks.resnet8.stage':
        dict(param_scheduler=[dict(type='LinearLR', begin=5, end=2)])
    }, 'param_scheduler: for the stage "resnet8": end should be larger than'),
    ({
        'param_scheduler.0.start_facto': .1
    }, 'param_scheduler: .*start_facto'),
    ({
        'train_dataloader.batch_size': 0
    }, 'train_dataloader: .*: batch_size should be a positive integer'),
    ({
        'val_dataloader.num_worker': 2
    }, 'val_dataloader: .*num_worker'),
    ({
        'chain.networks.resnet8.stage':
        dict(train_dataloader=dict(batch_size=100, drop_last=True))
    }, 'train_dataloader: gives no batch: drop_last leaves out the only one'),
    ({
        'optim_wrapper.constructor': 'TwoOptimizers'
    }, 'optim_wrapper: .* gives several optimizers, but the model has no'),
    ({
        **ONE_BY_ONE, 'val_dataloader.dataset.pipeline':
        [dict(type='GrowingImages'),
         dict(type='PackInputs')]
    }, 'val_dataloader.dataset: .* gives images of several shapes'),
    ({
        'default_hooks.checkpoint.save_last': False
    }, 'default_hooks.checkpoint: .*: must have save_last on and no out_dir'),
    ({
        'default_hooks.checkpoint.out_dir': '/tmp'
    }, 'default_hooks.checkpoint: .*: must have save_last on and no out_dir'),
])
def test_what_is_wrong_with_a_stage(refused, tiny_cfg, options, message):
    cfg = tiny_cfg()
    cfg.merge_from_dict(options)
    refused(cfg, message)


@pytest.mark.parametrize('classes', [5, 20])
def test_other_classes_than_the_data(refused, tiny_cfg, classes):
    cfg = tiny_cfg()
    for network in cfg.chain.networks.values():
        network.model.head.num_classes = classes
    refused(
        cfg, f'resnet20.model: has {classes} classes, the data has 10; set '
        'chain.networks.resnet20.model.head.num_classes to 10, or ')
    # Data without classes is not checked.
    no_classes(cfg)
    facts = ChainRunner(cfg).facts
    assert facts['resnet8'].classes == classes


def test_validation_data_with_other_classes(refused, tiny_cfg):
    cfg = tiny_cfg()
    cfg.val_dataloader.dataset.metainfo = dict(classes=list('abc'))
    refused(
        cfg, 'val_dataloader.dataset: has 3 classes, '
        'train_dataloader.dataset has 10')


@pytest.mark.parametrize('classes, message', [
    ([str(i) for i in range(1, 11)
      ], "its class 0 is '1', that of train_dataloader.dataset is '0'"),
    ([*'0123456798'], "its class 8 is '9', that of .* is '8'"),
])
def test_validation_data_with_as_many_other_classes(refused, tiny_cfg, classes,
                                                    message):
    cfg = tiny_cfg()
    cfg.val_dataloader.dataset.metainfo = dict(classes=classes)
    refused(cfg, f'val_dataloader.dataset: {message}')
    # Data that does not name its classes is not checked.
    cfg.train_dataloader.dataset.metainfo = dict(classes=[])
    assert ChainRunner(cfg).facts['resnet8'].classes == 10


def test_a_loss_that_would_only_be_logged(refused, tiny_cfg):
    cfg = tiny_cfg()
    distiller = cfg.model.distiller
    for key in ('distill_losses', 'loss_forward_mappings'):
        distiller[key] = dict(kd=distiller[key].loss_kd)
    refused(
        cfg, 'model.distiller.distill_losses.kd: has no "loss" in its name, '
        '.* call it "loss_kd", .*"resnet14"')


def test_a_metric_that_is_not_measured(tiny_cfg):
    """Found only in the first validation; then one line."""
    cfg = tiny_cfg()
    cfg.chain.metric = 'accuracy/top5'
    with pytest.raises(
            ConfigError,
            match='"accuracy/top5" is not measured; '
            'there are: accuracy/top1'):
        ChainRunner(cfg).train()


@pytest.mark.parametrize('guidance', ['dense', 'none'])
def test_rates_by_depth_of_a_network_that_tells_none(refused, tiny_cfg,
                                                     guidance):
    cfg = tiny_cfg()
    cfg.chain.guidance = guidance
    cfg.optim_wrapper.constructor = 'LearningRateDecayOptimWrapperConstructor'
    refused(
        cfg, 'optim_wrapper.constructor: Learn.* which ResNet6n2 does not '
        'tell .* use another constructor .stage "resnet20"')
