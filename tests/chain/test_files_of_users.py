# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that rename their weights, and files as users have them."""
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import TimmClassifier
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.predictions import read_predictions


@MODELS.register_module(force=True)
class TimmLike(TimmClassifier):
    """MMPretrain's wrapper, with its hooks, of a model that needs no timm."""

    def __init__(self, num_classes=10, data_preprocessor=None):
        preprocessor = dict(type='ClsDataPreprocessor')
        preprocessor.update(data_preprocessor or {})
        BaseClassifier.__init__(self, data_preprocessor=preprocessor)
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
        self.loss_module = nn.CrossEntropyLoss()
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)


@MODELS.register_module(force=True)
class OneWay(TimmLike):
    """It cannot load what it saves."""

    @staticmethod
    def _add_state_dict_prefix(*_):
        pass


@MODELS.register_module(force=True)
class OnlyAlone(TimmLike):
    """Its hook does not mind that it is within another module."""

    @staticmethod
    def _add_state_dict_prefix(state, *_):
        for name in list(state):
            state[f'model.{name}'] = state.pop(name)


def with_timm(cfg, kind='TimmLike'):
    cfg.chain.networks.resnet20 = None
    cfg.chain.networks.resnet8.model = dict(type=kind)
    cfg.model.distiller.student_recorders.logits.source = 'model'
    return cfg


def test_a_student_that_renames_its_weights(tiny_cfg, killed_and_whole,
                                            built_from_file):
    """It is written under its own names, and resumed to the same bits."""
    cfg = with_timm(tiny_cfg(epochs=2))
    torn = with_timm(tiny_cfg(epochs=2, work_dir='torn'))
    whole, resumed = killed_and_whole(cfg, torn, 'resnet8', 3)
    model = built_from_file(cfg, 'resnet8')
    assert whole.keys() == model.state_dict().keys()
    assert '0.weight' in whole
    for name, data in whole.items():
        assert torch.equal(resumed[name], data), name
    saved = torch.load(osp.join(cfg.work_dir, 'resnet8', 'epoch_2.pth'))
    assert torch.equal(saved['state_dict']['architecture.0.weight'],
                       whole['0.weight'])
    results = ChainRunner(cfg).test('resnet8')['resnet8']
    last = ChainRunner(cfg).work.ledger['resnet8']['metric']['last']
    assert abs(results['accuracy/top1'] - last) < 1e-3


def test_a_network_that_cannot_load_what_it_saves(tiny_cfg, refused):
    cfg = with_timm(tiny_cfg(), 'OneWay')
    refused(cfg, 'does not load into the network .Error.*"resnet8"')


def test_a_network_that_loads_only_alone(tiny_cfg, refused):
    cfg = with_timm(tiny_cfg(), 'OnlyAlone')
    refused(cfg, 'architecture.model.0.weight')
    cfg.chain.guidance = 'none'
    assert 'resnet8' in ChainRunner(cfg).plan()


def test_averaged_weights_by_their_key(trained, tiny_cfg, tmp_path):
    """The key goes to all that reads the file, and along in the configs."""
    states = {
        name:
        torch.load(
            osp.join(trained[0].work_dir, 'resnet20', f'{name}.pth'),
            weights_only=True)['state_dict']
        for name in ('resnet20', 'epoch_1')
    }
    path = str(tmp_path / 'given.pth')
    torch.save(
        dict(
            model=states['epoch_1'],
            model_ema={
                f'module.{name}': data
                for name, data in states['resnet20'].items()
            }), path)
    cfg = tiny_cfg(images=32)
    cfg.chain.networks.resnet20.update(ckpt_path=path, ckpt_key='model_ema')
    cfg.chain.networks.resnet14 = None
    runner = ChainRunner(cfg)
    runner.train()
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    assert stage.model.teachers.resnet20.ckpt_key == 'model_ema'
    given = runner.test('resnet20')['resnet20']
    # For a report; its config is there for tools, as that of a trained one.
    folder = osp.join(cfg.work_dir, 'resnet20')
    found = read_predictions(folder)
    assert found.weights == runner.work.ledger['resnet20']['wrote']['sha256']
    assert 100 * (found.preds == found.labels).mean() == pytest.approx(
        given['accuracy/top1'], abs=1e-4)
    alone = Config.fromfile(osp.join(folder, 'resnet20.py'))
    assert alone.model.backbone.depth == 20 and alone.test_dataloader
    assert given == runner.test('resnet20', path)['resnet20']
    cfg.chain.networks.resnet20.update(
        ckpt_path=osp.join(trained[0].work_dir, 'resnet20', 'resnet20.pth'),
        ckpt_key=None)
    assert given == ChainRunner(cfg).test('resnet20')['resnet20']
    cfg.work_dir = str(tmp_path / 'fresh')
    cfg.chain.networks.resnet20.update(ckpt_path=path, ckpt_key='ema')
    with pytest.raises(
            ConfigError,
            match="chain.networks.resnet20.ckpt_key: 'ema' is no state dict"):
        ChainRunner(cfg).plan()
