# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The config that is written: short, and a config."""
import pytest
from mmengine.config import Config

from mmdgkd.new.config_text import config_text
from mmdgkd.new.image_data import ImageData
from mmdgkd.new.models import Model
from mmdgkd.new.options import Options
from mmdgkd.new.recipe import Store, recipe_of

LARGE = ImageData(10, 4097, 224, False, None, '/data/pets', ('train', 'train'),
                  dict(train=[('a/1.png', 0)], val=[('a/2.png', 0)]),
                  ('a', 'b'))
STORE = Store(dict(dtype='float16', top_k=20, others='zero'), 30, 10**9)


@pytest.fixture
def written(tmp_path):
    """A function that writes a config: what is read from it."""

    def write(data, models, store=STORE, **kwargs):
        options = Options(
            str(tmp_path / 'pets.py'), 'pets', models[0].name, models[-1].name,
            **kwargs)
        text = config_text(options, data, models,
                           recipe_of(data, 50, options.pretrained), store)
        assert len(text.splitlines()) <= 40
        # But for what has a long path.
        short = text.replace(str(tmp_path), '')
        assert max(map(len, short.splitlines())) < 110
        (tmp_path / 'pets.py').write_text(text)
        return Config.fromfile(str(tmp_path / 'pets.py'))

    return write


def models(*names, **kwargs):
    return [Model(name, 10**6, 10, **kwargs) for name in names]


@pytest.mark.parametrize('mixed', [False, True])
def test_the_longest_chain_is_short_too(written, tmp_path, mixed):
    names = [f'timm:vit_tiny_patch{i}_224' for i in range(7 - mixed)]
    chain = models(*names, other=dict(img_size=224), is_transformer=True)
    cfg = written(LARGE, chain + models(*['resnet8'] * mixed))
    assert [*cfg.chain.networks][:-mixed or None] == [n[5:] for n in names]
    entry = cfg.chain.networks.vit_tiny_patch3_224
    assert entry.model == dict(name=names[3], img_size=224)
    own = entry.stage if mixed else cfg
    assert own.optim_wrapper.optimizer.type == 'AdamW'
    assert (cfg.optim_wrapper.optimizer.type == 'SGD') == mixed
    assert cfg.chain.views.num_views == 30
    assert cfg.train_dataloader.drop_last
    assert cfg.train_dataloader.dataset.ann_file == str(tmp_path /
                                                        'pets_split/train.txt')
    assert cfg.test_dataloader.dataset.classes.endswith('classes.txt')


def test_folders_that_tell_their_classes_need_no_lists(written):
    data = ImageData(3, 500, 64, True, None, '/data/x', ('train', 'val'))
    cfg = written(data, models('resnet50_8xb32_in1k', 'resnet8'))
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (train.data_root, train.data_prefix) == ('/data/x', 'train')
    assert val.data_prefix == 'val' and 'ann_file' not in val
    assert train.pipeline[1] == dict(
        type='RandomCrop', crop_size=64, padding=8)
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.data_preprocessor.num_classes == 3
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_epochs == 50


def test_networks_of_one_name_have_two_keys(written):
    cfg = written(LARGE, models('resnet20', 'resnet20'))
    assert [*cfg.chain.networks] == ['resnet20', 'resnet20_2']


def test_a_given_teacher_is_not_fine_tuned(written, tmp_path):
    path = tmp_path / 'teacher.pth'
    path.touch()
    cfg = written(
        LARGE,
        models('resnet34_8xb32_in1k', 'resnet18_8xb32_in1k', has_weights=True),
        teacher_ckpt=str(path),
        pretrained=True)
    assert cfg.chain.networks.resnet34 == dict(
        model='resnet34_8xb32_in1k', ckpt_path=str(path))
    assert cfg.chain.networks.resnet18.model.pretrained


def test_without_room_there_is_no_store(written):
    cfg = written(LARGE, models('resnet20', 'resnet8'), Store(None))
    assert cfg.chain.logit_store is None


@pytest.mark.parametrize('moved', [False, True])
def test_a_known_data_set_has_its_own_base(written, tmp_path, moved):
    root = str(tmp_path) if moved else None
    data = ImageData(100, 50000, 32, True, 'cifar100')
    cfg = written(data, models('resnet20', 'resnet8'), data_root=root)
    for part in ('train', 'val', 'test'):
        dataset = cfg[f'{part}_dataloader'].dataset
        assert dataset.type == 'BatchedCIFAR100'
        assert dataset.data_root == (root or 'data/cifar100')
    assert cfg.val_cfg == {}


def test_networks_that_mix_images_do_so_together_or_not_at_all(written):
    """Else the teachers would run for each kind of views."""
    mixing = models('deit-tiny', augments='Mixup')
    for others, wanted in ((models('resnet8'),
                            dict(name='deit-tiny',
                                 train_cfg=None)), (mixing, 'deit-tiny')):
        cfg = written(LARGE, mixing + others, force=True)
        assert cfg.chain.networks.deit_tiny.model == wanted
