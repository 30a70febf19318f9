# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import argparse
import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.weights import (check_weights, load_weights,
                                         network_weights)


class Net(nn.Module):

    def __init__(self, classes=3, width=4):
        super().__init__()
        self.body = nn.Linear(2, width)
        self.head = nn.ModuleDict(dict(fc=nn.Linear(width, classes)))


@pytest.mark.parametrize('prefix', ['', 'module.', 'architecture.'])
def test_all_kinds_of_checkpoints_load(tmp_path, prefix):
    source, target = Net(), Net()
    state = {prefix + key: data for key, data in source.state_dict().items()}
    if prefix == 'architecture.':
        # What an algorithm has beside its network.
        state['distiller.connector.weight'] = torch.ones(1)
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=state, meta={}), path)
    load_weights(target, path, 'key')
    for key, data in target.state_dict().items():
        assert torch.equal(data, source.state_dict()[key])


def test_a_bare_state_dict_loads():
    state = Net().state_dict()
    assert set(network_weights(state, 'a.pth', 'key')) == set(state)


@pytest.mark.parametrize('other, message', [
    (Net(classes=10), r"key: '.*' has 10 classes, the network has 3 \(head.fc"
     r'.weight is \(10, 4\), not \(3, 4\)\)'),
    (Net(width=5), r'is of another architecture: body.weight is \(5, 2\)'),
    (nn.Linear(1, 1), 'is of another architecture: body.weight is missing .6 '
     r'such differences.; the file has weight \(1, 1\), bias \(1,\), the '
     r'network body.weight \(4, 2\), body.bias \(4,\), head.fc.weight '),
])
def test_what_does_not_fit_is_named(tmp_path, other, message):
    path = str(tmp_path / 'a.pth')
    torch.save(other.state_dict(), path)
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(Net(), path, 'key')
    assert '\n' not in str(error.value)


def test_a_file_that_is_missing_or_no_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="key: there is no file 'no.pth'"):
        read_checkpoint('no.pth', 'key')
    path = tmp_path / 'a.pth'
    path.write_text('hello')
    with pytest.raises(ConfigError, match='does not load as a checkpoint'):
        read_checkpoint(str(path), 'key')
    torch.save([1], path)
    with pytest.raises(ConfigError, match='holds a list, not a checkpoint'):
        read_checkpoint(str(path), 'key')


@pytest.mark.parametrize('held', [
    dict(model=dict(a=1), epoch=3),
    dict(a=1),
    dict(),
    dict(state_dict=[1]),
])
def test_a_file_of_another_kind(tmp_path, held):
    path = str(tmp_path / 'a.pth')
    torch.save(held, path)
    with pytest.raises(ConfigError, match='key: .* holds no state dict'):
        load_weights(Net(), path, 'key')


class Normed(Net):
    """With a counter, and values that no two networks share."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        nn.init.normal_(self.norm.weight)


def renamed(prefix):
    return lambda state: {prefix + name: x for name, x in state.items()}


FORMS = dict(
    data_parallel=renamed('module.'),
    compiled=renamed('_orig_mod.'),
    compiled_ddp=renamed('module._orig_mod.'),
    ddp_compiled=renamed('_orig_mod.module.'),
    teacher=renamed('teacher.model.module.'),
    part_compiled=lambda state: {
        name.replace('body.', 'body._orig_mod.'): x
        for name, x in state.items()
    },
    lightning=lambda state: dict(
        state_dict=renamed('model.')(state), hyper_parameters={}),
    razor=lambda state: dict(state_dict={
        **renamed('architecture.')(state),
        **renamed('teacher.')(state)
    }),
    model=lambda state: dict(model=state, epoch=3, optimizer=dict(state={})),
    net=lambda state: dict(net=state, acc=99.),
    model_state_dict=lambda state: dict(model_state_dict=state),
    another_key=lambda state: dict(weights=state, epoch=3),
    deit=lambda state: dict(model=state, args=argparse.Namespace(lr=.1)),
    timm_ema=lambda state: dict(
        state_dict=state, state_dict_ema=Normed().state_dict()),
    averaged=lambda state: dict(
        renamed('module.')(state), n_averaged=torch.tensor(3)),
    parameters=lambda state: {
        name: nn.Parameter(x) if x.is_floating_point() else x
        for name, x in state.items()
    },
)


@pytest.mark.parametrize('form', FORMS)
def test_files_as_users_have_them(tmp_path, form):
    source, target = Normed(), Normed()
    path = str(tmp_path / 'a.pth')
    torch.save(FORMS[form](source.state_dict()), path)
    load_weights(target, path, 'key')
    for name, data in target.state_dict().items():
        assert torch.equal(data, source.state_dict()[name])


def test_a_prefix_is_named_in_the_log(tmp_path, caplog):
    path = str(tmp_path / 'a.pth')
    state = renamed('module._orig_mod.')(Net().state_dict())
    torch.save(state, path)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    load_weights(Net(), path, 'key')
    logger.removeHandler(caplog.handler)
    assert caplog.messages[-1] == (
        f'key: took "_orig_mod." off, took "module." off in the names of '
        f'{path!r}')


def test_a_prefix_of_the_network_itself_stays():
    inside = nn.ModuleDict(dict(model=Net()))
    state = inside.state_dict()
    assert {*network_weights(state, 'a.pth', 'key', inside)} == {*state}


def test_a_counter_may_be_missing(tmp_path):
    """Files from before PyTorch 0.4 have none."""
    source, target = Normed(), Normed()
    source.norm.num_batches_tracked.fill_(3)
    state = source.state_dict()
    del state['norm.num_batches_tracked']
    path = str(tmp_path / 'a.pth')
    torch.save(state, path)
    load_weights(target, path, 'key')
    assert target.norm.num_batches_tracked == 0
    assert torch.equal(target.norm.weight, source.norm.weight)


def test_the_weights_under_a_key_of_the_file(tmp_path):
    source, averaged, target = Net(), Net(), Net()
    path = str(tmp_path / 'a.pth')
    torch.save(
        dict(model=source.state_dict(), model_ema=averaged.state_dict()), path)
    load_weights(target, path, 'key', 'model_ema')
    assert torch.equal(target.body.weight, averaged.body.weight)
    with pytest.raises(
            ConfigError,
            match=r"^x\.ckpt_key: 'ema' is no state dict in '.*a\.pth'; there "
            'are: model, model_ema$'):
        load_weights(target, path, 'x.ckpt_path', 'ema')


def test_several_unknown_state_dicts_are_not_guessed(tmp_path):
    path = str(tmp_path / 'a.pth')
    state = Net().state_dict()
    torch.save(dict(student=state, teacher=state), path)
    with pytest.raises(
            ConfigError,
            match='holds several state dicts; name one by ckpt_key: student, '
            'teacher$'):
        load_weights(Net(), path, 'key')


def classifier(classes=3, **backbone):
    cfg = dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=18, **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=512))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_torchvisions_names(tmp_path, prefix):
    models = pytest.importorskip('torchvision.models')
    theirs = models.resnet18(num_classes=3).eval()
    path = str(tmp_path / 'a.pth')
    torch.save(renamed(prefix)(theirs.state_dict()), path)
    model = classifier().eval()
    load_weights(model, path, 'key')
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images, mode='tensor'), theirs(images))
    with pytest.raises(
            ConfigError, match='has 3 classes, the network has 5 .head.fc'):
        load_weights(classifier(5), path, 'key')


class Renaming(nn.Module):
    """As MMPretrain's TimmClassifier, whose hooks rename at the root."""

    def __init__(self):
        super().__init__()
        self.model = Net()
        self._register_state_dict_hook(self._shorten)
        self._register_load_state_dict_pre_hook(self._lengthen)

    @staticmethod
    def _shorten(module, state, prefix, _):
        return {
            re.sub(f'^{prefix}model.', prefix, name): x
            for name, x in state.items()
        }

    @staticmethod
    def _lengthen(state, prefix, *_):
        for name in list(state):
            state[re.sub(f'^{prefix}', f'{prefix}model.',
                         name)] = state.pop(name)


@pytest.mark.parametrize('prefix', ['', 'architecture.', 'module.', 'model.'])
def test_a_network_that_renames_its_weights(tmp_path, prefix):
    source, target = Renaming(), Renaming()
    path = str(tmp_path / 'a.pth')
    torch.save(renamed(prefix)(source.state_dict()), path)
    load_weights(target, path, 'key')
    assert torch.equal(target.model.body.weight, source.model.body.weight)
    weights = network_weights(torch.load(path), path, 'key', target)
    assert check_weights(target, weights, path,
                         'key').keys() == Net().state_dict().keys()
    torch.save(Net(width=5).state_dict(), path)
    with pytest.raises(ConfigError, match=r'body.weight is \(5, 2\), not'):
        load_weights(target, path, 'key')


def vision_transformer(size, classes=3):
    cfg = dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=16,
                num_layers=1,
                num_heads=2,
                feedforward_channels=16),
            img_size=size,
            patch_size=8),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=classes,
            in_channels=16))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def test_position_embeddings_of_another_resolution(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(vision_transformer(16).state_dict(), path)
    model = vision_transformer(32)
    weights = network_weights(torch.load(path), path, 'key', model)
    found = check_weights(model, weights, path, 'key')
    assert found['backbone.pos_embed'].shape == (1, 17, 16)
    load_weights(model, path, 'key')
    with pytest.raises(ConfigError, match='has 3 classes, the network has 5'):
        load_weights(vision_transformer(32, 5), path, 'key')
