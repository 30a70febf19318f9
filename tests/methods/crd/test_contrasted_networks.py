# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are distilled by CRD."""
import glob
import os.path as osp
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.digits import Digits
from mmdgkd.datasets.labels import sample_classes
from mmdgkd.methods.crd.method import add_sample_classes

EDGE = 'model.distiller.edges.default'
LOSS = f'{EDGE}.distill_losses.loss_crd'


@pytest.fixture
def crd_cfg(tiny_cfg, root):
    """A function that gives the chain of the digits, distilled by CRD."""

    def make(epochs=1, images=64, **kwargs):
        cfg = tiny_cfg(
            epochs,
            root / 'configs/crd/resnet20_to_resnet8_digits.py',
            images=images,
            **kwargs)
        cfg.merge_from_dict({
            f'{LOSS}.sample_n': images,
            f'{LOSS}.neg_num': 16,
            'default_hooks.logger.interval': 1
        })
        return cfg

    return make


def state_of(cfg, epoch, name='resnet8'):
    path = osp.join(cfg.work_dir, name, f'{epoch}.pth')
    return torch.load(path, weights_only=False)['state_dict']


def terms(cfg, teacher, name='resnet8'):
    """A term of each iteration of a stage, from its logs."""
    text = ''.join(
        Path(path).read_text() for path in sorted(
            glob.glob(osp.join(cfg.work_dir, name, '2*', '*.log'))))
    found = re.findall(rf'distill.loss_crd_{teacher}: ([\d.]+)', text)
    return [float(value) for value in found]


@pytest.mark.slow
def test_from_the_teacher_alone(crd_cfg):
    """CRD reduces its own loss; the weights of the teacher never change."""
    cfg = crd_cfg(epochs=12)
    cfg.chain.guidance = 'direct'
    cfg.chain.networks.resnet14 = None
    cfg.chain.networks.resnet20.stage = dict(train_cfg=dict(max_epochs=2))
    # At the lr of 0.1 so few steps go up and down.
    cfg.optim_wrapper.optimizer.lr = 0.01
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet8']['guides'] == ['resnet20']
    found = terms(cfg, 'resnet20')
    assert len(found) == 24
    assert sum(found[-4:]) < 0.9 * sum(found[:4])
    state = state_of(cfg, 'epoch_12')
    prefix = 'distiller.distill_losses.loss_crd_resnet20.'
    data = Digits(split='train', indices=64)
    assert state[f'{prefix}labels'].tolist() == data.get_gt_labels().tolist()
    for name in ('student', 'teacher'):
        lengths = state[f'{prefix}{name}_bank'].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(64))
    # What is deployed has nothing of it.
    trained = torch.load(
        osp.join(cfg.work_dir, 'resnet8/resnet8.pth'), weights_only=True)
    assert not any('bank' in name for name in trained['state_dict'])


@pytest.mark.parametrize('change, message', [
    ({f'{LOSS}.sample_n': 50000},
     'model.distiller.distill_losses.loss_crd_resnet20.sample_n: is 50000, '
     'but there are 64 samples of training data; set it to 64'),
    ({f'{LOSS}.dim_out': 64},
     'model.distiller.distill_losses.loss_crd_resnet20.dim_out: is 64, but '
     r's_feats is of shape \(32, 128\)'),
    ({f'{LOSS}.neg_num': 0},
     'model: for the stage "resnet14": .*BankCRDLoss.neg_num: 0 must be an '),
    ({f'{EDGE}.connectors.of_guide.dim_in': 32},
     'model.distiller.loss_forward_mappings.loss_crd_resnet20.t_feats: '),
    ({'chain.views': None},
     'model.distiller.distill_losses.loss_crd_resnet20.sample_n: the data '
     'samples have no index'),
])  # yapf: disable
def test_mistakes_are_refused_before_any_training(crd_cfg, refused, change,
                                                  message):
    cfg = crd_cfg()
    cfg.merge_from_dict(change)
    refused(cfg, f'^{message}')


def test_there_is_nothing_that_a_logit_store_could_cache(crd_cfg):
    cfg = crd_cfg()
    cfg.chain.logit_store = dict(dtype='float16')
    with pytest.raises(
            ConfigError,
            match=r'^model\.distiller\.teacher_recorders\.pooled_resnet20: a '
            'logit store can .*; use that, or set chain.logit_store=None'):
        ChainRunner(cfg).train()


@pytest.mark.parametrize('losses', [
    dict(loss_crd=dict(type='mmrazor.BankCRDLoss')),
    dict(loss_kl=dict(type='mmrazor.KLDivergence')), None, 3
])
def test_a_stage_with_it_has_the_hook_for_classes(losses):
    contrasts = 'BankCRDLoss' in str(losses)
    for distiller in (dict(distill_losses=losses),
                      dict(edges=dict(a=None, b=dict(distill_losses=losses)))):
        model = dict(distiller=distiller)
        stage = Config(dict(model=model, custom_hooks=[dict(type='EMAHook')]))
        for _ in range(2):
            add_sample_classes(stage)
        kinds = [hook.type for hook in stage.custom_hooks]
        assert kinds[1:] == ['mmrazor.SampleClassesHook'] * contrasts
        stage = Config(
            dict(
                model=model,
                launcher='pytorch',
                train_dataloader=dict(
                    sampler=dict(
                        type='mmpretrain.ViewSampler',
                        sampler=dict(type='DefaultSampler', round_up=False)))))
        if contrasts:
            with pytest.raises(
                    ConfigError,
                    match='^train_dataloader.sampler.round_up: False gives '
                    'some processes a smaller batch'):
                add_sample_classes(stage)
        else:
            add_sample_classes(stage)


@DATASETS.register_module()
class SeveralClasses(Digits):
    """Each image is of two classes."""

    def get_cat_ids(self, idx):
        return [1, 2]


def test_data_without_single_classes_is_refused_before_any_training(
        crd_cfg, refused):
    cfg = crd_cfg()
    cfg.train_dataloader.dataset.type = 'SeveralClasses'
    refused(
        cfg, '^train_dataloader.dataset: sample 0 does not have exactly one '
        'class')
    # It is no mistake without CRD.
    cfg.chain.guidance = 'none'
    assert 'rehearsal: ' in ChainRunner(cfg).plan()


def test_several_classes_of_a_sample():
    data = Digits(split='test', indices=4)
    assert sample_classes(data) == [int(x) for x in data.get_gt_labels()]
    data.get_cat_ids = lambda index: [1, 2][:index + 1]
    with pytest.raises(
            ConfigError,
            match='^train_dataloader.dataset: sample 1 does not have '
            'exactly one class'):
        sample_classes(data)
