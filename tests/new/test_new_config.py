# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A config is written whole and rehearsed, or not at all."""
import os

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdgkd.chain.entries import read_entry
from mmdgkd.chain.network import build_network
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.class_numbers import set_classes
from mmdgkd.new import Options, new_config
from mmdgkd.new.options import number_of, read_tas


@pytest.fixture
def pets(tmp_path):
    """A folder of images of two classes."""
    for name, color in (('cat', 50), ('dog', 200)):
        (tmp_path / 'pets' / name).mkdir(parents=True)
        for i in range(8):
            Image.new('RGB', (32, 32),
                      (color, i, 0)).save(tmp_path / f'pets/{name}/{i}.png')
    return tmp_path / 'pets'


@pytest.fixture
def new(pets, tmp_path, monkeypatch):
    """A function that writes a config: what it says, and the work dir."""

    def run(explain=False, config='pets.py', **kwargs):
        monkeypatch.chdir(tmp_path)
        words = dict(
            config=str(tmp_path / config),
            data=str(pets),
            teacher='resnet14',
            student='resnet8',
            num_tas=0,
            epochs=1)
        said = []
        work_dir = new_config(
            Options(**{
                **words,
                **kwargs
            }), explain, said.append)
        return '\n'.join(said), work_dir

    return run


@pytest.mark.slow
def test_it_is_rehearsed_and_explained(new):
    said, _ = new(explain=True)
    for part in ('2 classes, 12 images for training, 4 for validation',
                 'rehearsal: 2 stages', 'arXiv 1902.03393'):
        assert part in said


def test_it_is_overwritten_on_demand_alone(new, tmp_path):
    said, work_dir = new(rehearsal=False)
    assert f'written: {tmp_path}/pets.py' in said
    assert sorted(os.listdir(tmp_path)) == ['pets', 'pets.py', 'pets_split']
    cfg = Config.fromfile(str(tmp_path / 'pets.py'))
    listed = (tmp_path / 'pets_split/train.txt').read_text().splitlines()
    assert len(listed) == 12 and listed[0].startswith('cat/')
    assert cfg.train_dataloader.dataset.ann_file == str(tmp_path /
                                                        'pets_split/train.txt')
    with pytest.raises(ConfigError, match='pets.py. exists; .*--force'):
        new()
    os.makedirs(work_dir)
    said, other = new(force=True, rehearsal=False, seed=3)
    assert f'written over: {tmp_path}/pets.py' in said
    # The other one may hold a training.
    assert other == f'{work_dir}_2'


@pytest.mark.parametrize('kwargs, message', [
    (dict(teacher='resnet35_8xb32_in1k'), '--teacher: .*resnet34_8xb32_in1k'),
    (dict(student='timm:nothing'), '--student: .*timm:nothing'),
    (dict(teacher_ckpt='none.pth'), "--teacher-ckpt: there is no file 'none"),
    (dict(teacher_classes='none.txt'), '--teacher-classes: there is no file'),
    (dict(teacher_classes=__file__), '--teacher-classes: .*--teacher-ckpt'),
    (dict(data='cifar10', data_root='none'), '--data-root: there is no fol'),
    (dict(data='none'), "--data: there is no folder 'none'"),
    (dict(epochs=0), '--epochs: 0 must be 1 or more'),
    (dict(size=4), '--size: 4 must be 8 or more'),
    (dict(val_share=1.0), '--val-share: 1.0 must be between'),
    (dict(config='pets.txt'), 'CONFIG: .*pets.txt. should be .* Python file'),
    (dict(config='none/pets.py'), 'CONFIG: there is no folder .*none'),
    (dict(num_tas=2), '--tas: 2 wanted, .* have none'),
    (dict(tas=('resnet9', )), "--tas: 'resnet9'"),
])
def test_a_mistake_is_one_line_and_nothing_is_written(new, tmp_path, kwargs,
                                                      message):
    with pytest.raises(ConfigError, match=f'^{message}') as error:
        new(**kwargs)
    assert '\n' not in str(error.value)
    assert os.listdir(tmp_path) == ['pets']


def test_a_teacher_of_other_classes_names_them_or_is_refused(new, tmp_path):
    network = read_entry('x', dict(model='resnet14'))
    model = build_network(
        read_entry('x', dict(model=set_classes(network.model, 7))),
        'mmpretrain')
    torch.save(model.state_dict(), tmp_path / 'seven.pth')
    with pytest.raises(ConfigError, match='^--teacher-ckpt: .*') as error:
        new(teacher_ckpt=str(tmp_path / 'seven.pth'))
    text = str(error.value)
    assert '7' in text and text.endswith('; nothing is written')
    assert '--teacher-classes' in text
    assert sorted(os.listdir(tmp_path)) == ['pets', 'seven.pth']
    names = tmp_path / 'names.txt'
    names.write_text('\n'.join(['ant', 'dog', 'bee', 'cat', 'd', 'e', 'f']))
    new(teacher_ckpt=str(tmp_path / 'seven.pth'),
        teacher_classes=str(names),
        rehearsal=False)
    cfg = Config.fromfile(str(tmp_path / 'pets.py'))
    cfg.work_dir = str(tmp_path / 'work')
    assert ChainRunner(cfg).facts['resnet14'].classes == 2


@pytest.mark.parametrize('words, wanted', [
    (None, (None, ())),
    (['none'], (0, ())),
    (['2'], (2, ())),
    (['resnet8', 'timm:x'], (None, ('resnet8', 'timm:x'))),
])
def test_tas_are_a_number_or_names(words, wanted):
    assert read_tas(words) == wanted


@pytest.mark.parametrize(
    'words', [['0'], ['-1'], ['9'], ['1.5'], ['none', 'resnet8'], ['a'] * 9])
def test_other_tas_are_one_line(words):
    with pytest.raises(ConfigError, match='^--tas: '):
        read_tas(words)


def test_what_is_no_number_is_one_line():
    with pytest.raises(
            ConfigError, match="^--epochs: 'ten' must be an integer"):
        number_of('--epochs', 'ten')
