# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The chains of ImageNet from end to end, on a folder of 1,000 classes."""
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope

from mmdgkd.chain.chain import Chain

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
CLASSES, SIZE = 1000, 32
# Stops both ranks once, by a signal to one of them.
STOP = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class StopOnce(Hook):

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.iter == 5 and runner.rank == 1
                and runner.experiment_name.startswith('resnet18')
                and not os.path.exists('{once}')):
            open('{once}', 'w').close()
            os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Two images of each class for training, one for validation."""
    root = tmp_path_factory.mktemp('imagenet')
    images = np.random.default_rng(0).integers(
        0, 256, (3, CLASSES, SIZE, SIZE, 3), dtype=np.uint8)
    for number in range(CLASSES):
        for split, kept in (('train', images[:2]), ('val', images[2:])):
            folder = root / split / f'n{number:08}'
            os.makedirs(folder)
            for i, image in enumerate(kept[:, number]):
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return root


def shrunk(name, root, folder):
    """A config with networks of a few channels; its teacher is a file."""
    cfg = Config.fromfile(str(CONFIGS / name))
    networks = Chain.from_cfg(cfg.chain).networks
    for network in networks:
        model = ConfigDict(network.model)
        model.head.num_classes = CLASSES
        if model.backbone.type == 'ResNet':
            model.backbone.update(
                stem_channels=4, base_channels=4, num_stages=4)
            model.head.in_channels = 32
        else:
            model.backbone.arch = dict(
                embed_dims=16,
                num_layers=1,
                num_heads=2,
                feedforward_channels=16)
            model.backbone.img_size = SIZE
            model.head.in_channels = 16
        entry = dict(model=model)
        if network.ckpt_path:
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                teacher = MODELS.build(model)
            entry['ckpt_path'] = str(folder / 'teacher.pth')
            torch.save(teacher.state_dict(), entry['ckpt_path'])
        cfg.chain.networks[network.name] = entry
    for key in ('train', 'val', 'test'):
        loader = cfg[f'{key}_dataloader']
        # On the CPU a rank sends the scores of a batch once for each image.
        loader.update(num_workers=0, batch_size=250 if key == 'train' else 10)
        loader.pop('persistent_workers', None)
        loader.dataset.data_root = str(root)
        if key != 'train':
            loader.dataset.indices = 100
        for step in loader.dataset.pipeline:
            step.update({
                size: SIZE
                for size in ('scale', 'crop_size') if size in step
            })
    cfg.train_cfg.max_epochs = 2
    # Their lengths are those of the full training.
    cfg.param_scheduler = None
    cfg.visualizer = None
    cfg.chain.preflight = False
    # A list of networks: MMEngine sorts the keys of a dict that it writes.
    cfg.chain = Chain.from_cfg(cfg.chain).to_cfg()
    return cfg


@pytest.fixture
def written(imagenet, tmp_path):
    """A function that writes a shrunk config: the words that train it."""

    def write(name, **changes):
        cfg = shrunk(f'dgkd/{name}_imagenet.py', imagenet, tmp_path)
        (tmp_path / 'stop_once.py').write_text(
            STOP.format(once=tmp_path / 'once'))
        cfg.custom_imports.imports.append('stop_once')
        cfg.custom_hooks.append(dict(type='StopOnce'))
        cfg.merge_from_dict(changes)
        cfg.dump(tmp_path / 'chain.py')
        return ('tools/train.py', tmp_path / 'chain.py', '--work-dir',
                tmp_path / 'work')

    return write


def stages_of(tmp_path):
    path = tmp_path / 'work' / 'chain.json'
    return json.loads(path.read_text())['stages']


@pytest.mark.slow
def test_two_ranks_stop_and_go_on_and_the_student_is_exported(
        written, fork_ranks, run_here, tmp_path):
    words = written('resnet34_to_resnet18')
    assert 'in resnet18; a checkpoint of iteration ' in fork_ranks(
        *words, codes=(75, 75))
    states = [stage['state'] for stage in stages_of(tmp_path).values()]
    assert states == ['given', 'done', 'running']
    fork_ranks(*words, '--resume')
    stages = stages_of(tmp_path)
    assert stages['resnet34_56']['state'] == 'done'
    student = stages['resnet18']
    assert student['state'] == 'done' and len(
        student['metric']['history']) == 2
    # The TA's stage has cached the logits of the teacher.
    rows = student['store']['resnet34']
    assert rows['computed'] == 0 < rows['recalled']
    run_here('tools/export.py', tmp_path / 'chain.py', '--stage', 'resnet18',
             '--work-dir', tmp_path / 'work')
    extra = {'inputs.json': ''}
    program = torch.export.load(
        str(tmp_path / 'work' / 'resnet18' / 'resnet18.pt2'),
        extra_files=extra)
    inputs = json.loads(extra['inputs.json'])
    assert (inputs['dtype'], inputs['channels']) == ('uint8', 'RGB')
    assert inputs['shape'] == ['N', 3, SIZE, SIZE]
    assert len(inputs['classes']) == CLASSES
    images = torch.zeros(3, 3, SIZE, SIZE, dtype=torch.uint8)
    assert program.module()(images).shape == (3, CLASSES)


@pytest.mark.slow
def test_mixed_images_by_two_ranks(written, fork_ranks, tmp_path):
    """MixUp and CutMix, smoothed labels and EMA."""
    (tmp_path / 'once').write_text('no stop')
    fork_ranks(
        *written('deit_small_to_resnet18', train_cfg=dict(max_epochs=1)))
    assert [stage['state'] for stage in stages_of(tmp_path).values()
            ] == ['given', 'done', 'done']
