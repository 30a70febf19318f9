# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A teacher gets its images as it was trained to see them."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.models.teachers.teacher_input import TeacherInput, read_input

OTHER = dict(mean=[0.5] * 3, std=[95.9, 90., 80.], to_rgb=True)


def preprocess(images, mean, std, to_rgb=False):
    preprocessor = MODELS.build(
        dict(
            type='mmpretrain.ClsDataPreprocessor',
            mean=mean,
            std=std,
            to_rgb=to_rgb))
    return preprocessor(dict(inputs=list(images)))['inputs']


def test_it_is_what_the_teachers_own_preprocessor_gives():
    images = torch.randint(
        0, 256, (4, 3, 6, 6), generator=torch.manual_seed(0)).byte()
    given = dict(mean=[70., 77.8, 80.], std=[60., 96., 91.], to_rgb=False)
    found = TeacherInput(given=given, **OTHER)(preprocess(images, **given))
    torch.testing.assert_close(
        found, preprocess(images, **OTHER), rtol=1e-5, atol=1e-5)
    # A student that does not normalize.
    found = TeacherInput(**OTHER)(images.float())
    torch.testing.assert_close(found, preprocess(images, **OTHER))


def test_a_size_is_resized_and_the_same_is_left_alone():
    images = torch.rand(2, 3, 6, 6)
    assert TeacherInput(size=6)(images) is images
    flat = torch.full((1, 3, 6, 6), .25)
    found = TeacherInput(size=[12, 9])(flat)
    assert found.shape == (1, 3, 12, 9)
    torch.testing.assert_close(found, torch.full((1, 3, 12, 9), .25))


@pytest.mark.parametrize('cfg, message', [
    (3, r'here: 3 must be a dict of size, mean, std, to_rgb'),
    (dict(sise=3), 'must be a dict of size'),
    (dict(size=0), r'here.size: 0 must be an integer, or height and width'),
    (dict(size=[8, 8, 8]), 'here.size'),
    (dict(size=[8]), 'here.size'),
    (dict(std=[0.]), r'here.std: \[0.0\] must not be 0'),
    (dict(mean=3), 'here.mean: 3 must be a list of a number for each channel'),
])
def test_its_options(cfg, message):
    with pytest.raises(ConfigError, match=message):
        read_input(cfg, 'here')


def seen_by(cfg, stage, name, images):
    """The logits of a teacher within a stage."""
    stage = Config.fromfile(f'{cfg.work_dir}/{stage}/config.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(stage.model)
    with torch.no_grad():
        return model.teachers[name].eval()(images, mode='tensor')


def test_by_default_the_normalization_is_its_own(tiny_cfg, weights_of,
                                                 built_from_file, tmp_path):
    """With the store, too, whose rows are those of that input."""
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.model.data_preprocessor = dict(
        type='BatchedDataPreprocessor', **OTHER)
    ChainRunner(cfg).train()
    alone = built_from_file(cfg, 'resnet20')
    images = torch.randint(
        0, 256, (8, 3, 8, 8), generator=torch.manual_seed(0)).byte()
    own = cfg.data_preprocessor
    given = preprocess(images, own.mean, own.std, own.get('to_rgb', False))
    with torch.no_grad():
        wanted = alone(preprocess(images, **OTHER), mode='tensor')
    found = seen_by(cfg, 'resnet8', 'resnet20', given)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    stage = Config.fromfile(f'{cfg.work_dir}/resnet8/config.py')
    assert 'input' not in stage.model.teachers.resnet14
    # Without the store it is the same training.
    live = tiny_cfg(work_dir='live')
    live.chain.networks = cfg.chain.networks
    live.chain.logit_store = None
    ChainRunner(live).train()
    cached = tiny_cfg(work_dir='cached')
    cached.chain.networks = cfg.chain.networks
    cached.chain.logit_store = dict(dtype='float32')
    ChainRunner(cached).train()
    for key, data in weights_of(live, 'resnet8').items():
        assert torch.equal(data, weights_of(cached, 'resnet8')[key]), key


def test_another_size_is_to_be_chosen(tiny_cfg, refused):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20.stage = dict(
        train_dataloader=dict(dataset=dict(size=12)),
        val_dataloader=dict(dataset=dict(size=12)))
    refused(
        cfg, r'chain.networks.resnet20.input.size: "resnet20" has images of '
        r'12 x 12, and gets those of "resnet14", 8 x 8, .*\[12, 12\]')
    for size in (12, [8, 8]):
        cfg.chain.networks.resnet20.input = dict(size=size)
        assert 'rehearsal: 3 stages' in ChainRunner(cfg).plan()
    # It is part of what was trained, and of the config that is written.
    assert ChainRunner(cfg).chain.to_cfg()['networks'][0]['input'] == dict(
        size=[8, 8])
