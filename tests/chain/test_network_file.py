# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``<network>.py``, with MMPretrain and without mmdgkd."""
import json
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.network_file import write_network_config
from mmdgkd.models.data_preprocessors import BatchedDataPreprocessor

RESNET = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='BatchedDataPreprocessor',
        num_classes=10,
        mean=[120., 110., 100.],
        std=[60., 57., 50.],
        to_rgb=False),
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        init_cfg=[dict(type='Kaiming', layer='Conv2d')]),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=.2)]),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=512))
CIFAR = dict(
    type='BatchedCIFAR100',
    data_root='nowhere',
    split='test',
    pipeline=[dict(type='PackInputs')])
# What a user of MMPretrain does; nobody can import mmdgkd or MMRazor there.
ALONE = '''
import sys
sys.modules['mmdgkd'] = sys.modules['mmrazor'] = None
import pkgutil
import torch
from mmengine.config import Config
from mmpretrain import get_model
from mmpretrain.registry import DATASETS
path = sys.argv[1]
model = get_model(path, pretrained=path[:-2] + 'pth').eval()
image = torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 255
data = model.data_preprocessor(dict(inputs=[image.byte()]))
print(model(data['inputs'], mode='tensor').tolist())
print(DATASETS.get(Config.fromfile(path).test_dataloader.dataset.type))
'''


@pytest.fixture
def written(tmp_path):
    """A function that writes a network's file: (its text, its path)."""

    def write(model=RESNET, dataset=CIFAR, **keys):
        cfg = Config(
            dict(
                default_scope='mmpretrain',
                custom_imports=dict(imports=['mmdgkd']),
                default_hooks=dict(
                    checkpoint=dict(type='mmrazor.AtomicCheckpointHook'),
                    timer=dict(type='IterTimerHook')),
                test_dataloader=dict(
                    dataset=dataset,
                    batch_size=8,
                    collate_fn=dict(type='pseudo_collate'),
                    sampler=dict(type='DefaultSampler', shuffle=False)),
                chain=dict(networks=dict(net=dict(model=model)))))
        cfg.merge_from_dict(keys)
        path = tmp_path / 'net.py'
        write_network_config(cfg, Chain.from_cfg(cfg.chain)['net'], str(path))
        return path.read_text(), path

    return write


def test_mmpretrain_loads_its_own_networks_alone(written):
    text, path = written()
    assert 'mmdgkd' not in text and 'mmrazor' not in text
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        model = MODELS.build(RESNET).eval()
    torch.save(model.state_dict(), path.with_suffix('.pth'))
    image = (torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 255).byte()
    with torch.no_grad():
        data = model.data_preprocessor(dict(inputs=[image]))
        wanted = model(data['inputs'], mode='tensor')
    done = subprocess.run(
        [sys.executable, '-c', ALONE, str(path)],
        capture_output=True,
        text=True)
    assert not done.returncode, done.stderr
    logits, dataset = done.stdout.splitlines()[-2:]
    assert torch.allclose(torch.tensor(json.loads(logits)), wanted, atol=1e-4)
    assert dataset == "<class 'mmpretrain.datasets.cifar.CIFAR100'>"


def test_networks_of_ours_say_what_they_need(written, capfd):
    ours = dict(RESNET, backbone=dict(type='ResNet6n2', depth=8))
    _, path = written(ours)
    cfg = Config.fromfile(path)
    assert cfg.custom_imports == dict(
        imports=['mmdgkd'], allow_failed_imports=False)
    assert cfg.default_hooks == dict(timer=dict(type='IterTimerHook'))
    assert cfg.model.data_preprocessor.type == 'ClsDataPreprocessor'
    # No registry has said that it was searched in vain.
    assert capfd.readouterr() == ('', '')


def test_data_of_ours_are_no_obstacle_to_the_network(written):
    # Of MMPretrain's data sets none chooses classes.
    chosen = dict(CIFAR, filter_cfg=dict(classes=[0, 1]))
    text, path = written(dataset=chosen)
    cfg = Config.fromfile(path)
    assert cfg.test_dataloader.dataset.type == 'BatchedCIFAR100'
    assert cfg.custom_imports == dict(
        imports=['mmdgkd'], allow_failed_imports=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(RESNET)
    torch.save(model.state_dict(), path.with_suffix('.pth'))
    done = subprocess.run(
        [sys.executable, '-c', ALONE, str(path)],
        capture_output=True,
        text=True)
    assert not done.returncode, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-2])[0]) == 10


def test_classes_of_users_stay(written):
    """A class that inherits from ours does something of its own."""

    @MODELS.register_module()
    class OwnPreprocessor(BatchedDataPreprocessor):
        pass

    model = dict(
        RESNET,
        data_preprocessor=dict(
            RESNET['data_preprocessor'], type='OwnPreprocessor'))
    try:
        _, path = written(model)
    finally:
        del MODELS.module_dict['OwnPreprocessor']
    cfg = Config.fromfile(path, import_custom_modules=False)
    assert cfg.model.data_preprocessor.type == 'OwnPreprocessor'


@pytest.mark.parametrize('change', [
    dict(
        model=dict(
            _scope_='mmrazor',
            type='MMArchitectureQuant',
            architecture=RESNET,
            quantizer=dict(type='OpenVINOQuantizer'))),
    dict(model=dict(RESNET, backbone=dict(type='OfSomebody'))),
    dict(test_cfg=dict(type='mmrazor.SlimmableValLoop')),
])
def test_what_may_need_us_keeps_the_import(written, change):
    _, path = written(**change)
    cfg = Config.fromfile(path, import_custom_modules=False)
    assert cfg.custom_imports.imports == ['mmdgkd']
    # Without it a network of MMPretrain's alone is loaded all the same.
    assert cfg.custom_imports.allow_failed_imports == ('model' not in change)


def test_the_scope_of_a_type_stays(written):
    model = dict(
        RESNET,
        data_preprocessor=dict(
            RESNET['data_preprocessor'],
            type='mmpretrain.BatchedDataPreprocessor'))
    _, path = written(model)
    assert (Config.fromfile(path).model.data_preprocessor.type ==
            'mmpretrain.ClsDataPreprocessor')


def test_a_hook_that_is_left_out_stays_so(written):
    _, path = written(**{'default_hooks.timer': None})
    assert Config.fromfile(path).default_hooks == dict(timer=None)


def test_imports_of_users_stay(written):
    _, path = written(**{'custom_imports.imports': ['json', 'mmdgkd']})
    cfg = Config.fromfile(path)
    assert cfg.custom_imports.imports == ['json']
    chosen = dict(CIFAR, filter_cfg=dict(classes=[0, 1]))
    _, path = written(
        dataset=chosen, **{'custom_imports.imports': ['json', 'mmdgkd']})
    assert Config.fromfile(path).custom_imports == dict(
        imports=['json', 'mmdgkd'], allow_failed_imports=False)
