# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from mmpretrain.registry import DATASETS

from mmdgkd import ConfigError


def build(kind='Digits', **kwargs):
    return DATASETS.build(
        dict(type=kind, pipeline=[dict(type='PackInputs')], **kwargs))


@pytest.mark.parametrize('kind', ['Digits', 'BatchedDigits'])
def test_some_classes_in_their_order(kind):
    every = build(kind)
    some = build(kind, filter_cfg=dict(classes=[7, '3']), indices=40)
    assert some.metainfo['classes'] == ['7', '3'] and len(some) == 40
    assert every.metainfo['classes'] == [str(i) for i in range(10)]
    wanted = [
        info for info in map(every.get_data_info, range(len(every)))
        if info['gt_label'] in (7, 3)
    ]
    for i in range(40):
        info = some.get_data_info(i)
        assert info['gt_label'] == [7, 3].index(wanted[i]['gt_label'])
        assert (info['img'] == wanted[i]['img']).all()
    assert some.get_cat_ids(0) == [some.get_data_info(0)['gt_label']]


def test_halves_are_apart():
    halves = [
        build(filter_cfg=dict(classes=range(start, start + 5)))
        for start in (0, 5)
    ]
    assert sum(map(len, halves)) == len(build())
    for half in halves:
        assert {half.get_cat_ids(i)[0] for i in range(100)} == set(range(5))


@pytest.mark.parametrize('classes, message', [
    ([10], 'filter_cfg.classes: 10 is none of the 10 classes; by name, or a '
     'number from 0 to 9'),
    (['ten'], "filter_cfg.classes: 'ten' is none of"),
    ([True], 'filter_cfg.classes: True is none of'),
    ([1, '1'], "filter_cfg.classes: '1' is there twice"),
])
def test_classes_that_are_not_there(classes, message):
    with pytest.raises(ConfigError, match=message):
        build(filter_cfg=dict(classes=classes))


def test_a_chain_of_chosen_classes(tiny_cfg, refused):
    """Its networks have as many; with others it is refused."""
    cfg = tiny_cfg()
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.filter_cfg = dict(classes=[1, 2])
    refused(cfg, 'has 10 classes, the data has 2')
    cfg.train_dataloader.dataset.filter_cfg.classes = [2, 1]
    refused(cfg, 'val_dataloader.dataset: its class 0 is .1.')
