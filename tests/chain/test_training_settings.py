# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.stage_config import stage_config
from mmdgkd.chain.training_settings import differences, fingerprint


def stage(files=(), **kwargs):
    networks = {name: dict(model=dict(type='Net')) for name in 'ts'}
    cfg = Config(
        dict(
            chain=dict(networks=networks),
            model=dict(type='mmrazor.DGKD', distiller=dict(type='D')),
            train_cfg=dict(max_epochs=5)))
    cfg.merge_from_dict(kwargs)
    return stage_config(cfg, Chain.from_cfg(cfg.chain), 's', dict(files), '/w')


def test_a_fingerprint_is_of_what_decides():
    one = stage()
    same = stage(
        dict(t='elsewhere.pth'), log_level='DEBUG', test_cfg=dict(fp16=True))
    other = stage(train_cfg=dict(max_epochs=6))
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(other)
    assert differences(one, same) == []
    assert differences(one, other) == ['train_cfg.max_epochs was 5, is 6']


@pytest.mark.parametrize('key, value, differs', [
    ('data_root', 'elsewhere', False),
    ('num_workers', 4, False),
    ('data_prefix', 'clean', True),
    ('split', 'extra', True),
    ('ann_file', 'clean.txt', True),
])
def test_data_may_move_but_not_change(key, value, differs):
    data = dict(type='CustomDataset', data_root='data', data_prefix='train')
    other = dict(dataset=dict(data, **{key: value}))
    old, new = (
        stage(train_dataloader=loader)
        for loader in (dict(dataset=data), other))
    assert (fingerprint(old) != fingerprint(new)) == differs
    found = differences(old, new)
    assert [line.split()[0].split('.')[-1]
            for line in found] == [key] * differs


def test_a_fingerprint_survives_writing_and_reading(tmp_path, tiny_cfg):
    cfg = tiny_cfg()
    made = stage_config(cfg, Chain.from_cfg(cfg.chain), 'resnet8', {}, '/w')
    path = tmp_path / 'config.py'
    path.write_text(made.pretty_text)
    read = Config.fromfile(str(path))
    assert differences(read, made) == []
    assert fingerprint(read) == fingerprint(made)


def test_what_held_out_images_take_from_the_views_counts_once():
    """It is that of the training data: work dirs of before go on."""
    made = stage(val_dataloader=dict(dataset=dict(type='HeldOut')))
    before = fingerprint(made)
    made.val_dataloader.dataset.skip_unreadable = True
    assert fingerprint(made) == before
    made.val_dataloader.dataset.holdout = 3
    assert fingerprint(made) != before
